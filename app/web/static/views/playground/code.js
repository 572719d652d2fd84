// The same call as code, with the key left out.

import { html, useState } from "../../core/html.js";
import { Copy } from "../../ui/Copy.js";
import { Dialog } from "../../ui/Dialog.js";
import { Tabs } from "../../ui/Tabs.js";
import { draft, order } from "./state.js";

const TABS = [
  { value: "curl", label: "curl" },
  { value: "fal-client", label: "Python, fal-client" },
  { value: "httpx", label: "Python, httpx" },
  { value: "fal-js", label: "JavaScript, fal-js" },
  { value: "fetch", label: "JavaScript, fetch" },
];

/** JSON in a single-quoted word of a shell. @param {unknown} value */
const quoted = (value) => `'${JSON.stringify(value, null, 2).replaceAll("'", "'\\''")}'`;

/** A value as Python writes it. @param {any} value @param {string} indent @returns {string} */
function python(value, indent = "") {
  const deeper = `${indent}    `;
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return value.length ? `[\n${value.map((one) => `${deeper}${python(one, deeper)},\n`).join("")}${indent}]` : "[]";
  if (typeof value === "object") {
    const pairs = Object.entries(value).map(([name, part]) => `${deeper}${JSON.stringify(name)}: ${python(part, deeper)},\n`);
    return pairs.length ? `{\n${pairs.join("")}${indent}}` : "{}";
  }
  return JSON.stringify(value);
}

/**
 * The calls by their tab. @param {string} model @param {Record<string, any>} input @param {string} origin
 * @returns {Record<string, string>}
 */
function calls(model, input, origin) {
  const host = origin.replace(/^https?:\/\//, "");
  const json = JSON.stringify(input, null, 2);
  const deep = json.replaceAll("\n", "\n  ");
  return {
    curl: `curl -s ${origin}/v1/jobs \\
  -H "Authorization: Bearer $FILMGATE_KEY" \\
  -H 'Content-Type: application/json' \\
  -H 'Prefer: wait=60' \\
  -d ${quoted({ model, input })}`,
    "fal-client": `# pip install fal-client
# FAL_KEY is a Filmgate key. fal-client always calls https: the gateway needs a certificate or a proxy with one.
import os

os.environ["FAL_QUEUE_RUN_HOST"] = "${host}/fal/queue"
os.environ["FAL_RUN_HOST"] = "${host}/fal/run"

import fal_client

result = fal_client.subscribe(
    "${model}",
    arguments=${python(input, "    ")},
)
print(result["video"]["url"])`,
    httpx: `# pip install httpx
import os

import httpx

client = httpx.Client(
    base_url="${origin}",
    headers={"Authorization": f"Bearer {os.environ['FILMGATE_KEY']}"},
    timeout=90,
)
job = client.post(
    "/v1/jobs",
    json={"model": "${model}", "input": ${python(input, "    ")}},
).raise_for_status().json()
while job["status"] not in ("succeeded", "failed", "canceled"):
    job = client.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=60"}).raise_for_status().json()
print(job["output"] or job["error"])`,
    "fal-js": `// npm install @fal-ai/client
import { fal } from "@fal-ai/client";

fal.config({
  credentials: process.env.FILMGATE_KEY,
  proxyUrl: { url: "${origin}/fal/proxy", when: "always" },
});
const { data } = await fal.subscribe("${model}", {
  input: ${deep},
});
console.log(data.video.url);`,
    fetch: `const headers = { Authorization: \`Bearer \${process.env.FILMGATE_KEY}\`, "Content-Type": "application/json" };
let answer = await fetch("${origin}/v1/jobs", {
  method: "POST",
  headers,
  body: JSON.stringify({ model: "${model}", input: ${deep} }),
});
let job = await answer.json();
while (!["succeeded", "failed", "canceled"].includes(job.status)) {
  answer = await fetch(\`${origin}/v1/jobs/\${job.id}\`, { headers: { ...headers, Prefer: "wait=60" } });
  job = await answer.json();
}
console.log(job.output ?? job.error);`,
  };
}

/** @param {{onClose: () => void}} props */
export function CodeDialog({ onClose }) {
  const [tab, setTab] = useState("curl");
  const text = calls(draft.value.model, order.value?.input ?? {}, location.origin)[tab];
  const missing = order.value?.missing ?? [];
  return html`<${Dialog} title="The same call as code" wide onClose=${onClose}>
    <${Tabs} label="Language" tabs=${TABS} value=${tab} onChange=${setTab}>
      <div class="snippet"><pre tabindex="0" role="region" aria-label="Code"><code>${text}</code></pre><${Copy} text=${text} kind="plain" label="Copy the code">Copy</${Copy}></div>
    </${Tabs}>
    <p class="note">The key is left out: set it as ${tab === "fal-client" ? "FAL_KEY" : "FILMGATE_KEY"} in the environment.
      ${missing.length > 0 && ` Still missing in the form: ${missing.map((/** @type {{name: string}} */ { name }) => name).join(", ")}.`}</p>
  </${Dialog}>`;
}
