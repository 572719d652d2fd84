import { post, serverNow } from "../../core/api.js";
import { html, signal, useEffect, useState } from "../../core/html.js";
import { models, modelName, readModels } from "../../core/models.js";
import { session } from "../../core/session.js";
import { limitWords } from "../../core/words.js";
import { Badge } from "../../ui/Badge.js";
import { Button } from "../../ui/Button.js";
import { Field } from "../../ui/Field.js";
import { Segments } from "../../ui/Segments.js";
import { Select } from "../../ui/Select.js";
import { Time } from "../../ui/Time.js";
import { Form, Once, Text } from "../admin/Form.js";

const LASTS = [["600", "10 minutes"], ["1800", "Half an hour"], ["3600", "An hour"]].map(([value, label]) => ({ value, label }));
const FOR = [["clips", "Making clips"], ["job", "Reading one job"]].map(([value, label]) => ({ value, label }));

/** @typedef {import("../../core/shapes.js").Token} Token */

/** What was made here, without the tokens themselves. @type {import("../../core/html.js").Signal<Token[]>} */
const made = signal([]);
session.subscribe(({ state }) => {
  if (state === "out") made.value = [];
});

/** Tokens for web pages: made here; the gateway has no list of them. */
export function Tokens() {
  const [making, setMaking] = useState(false);
  const [shown, setShown] = useState(/** @type {Token | null} */ (null));
  /** @param {Token} token */
  const done = (token) => {
    made.value = [{ ...token, token: "" }, ...made.value];
    setShown(token);
    setMaking(false);
  };
  const live = made.value.filter(({ expires_at: ends }) => Date.parse(ends ?? "") > serverNow());
  return html`<section class="stack" aria-label="Browser tokens">
    <div class="panel stack">
      <p>A key in a web page could be read by everybody who looks at it. A browser token stands for your key there: for minutes, for a number of clips, for some dollars, on one page.
        A page with visitors needs one for each: your server makes them. <a href="/docs/guide/browser-app" target="_blank">How to</a></p>
      <p class="note">The gateway keeps no list of tokens. Each ends by itself, after an hour at most. All that a key has made end at once when that key is revoked, or replaced without an overlap: an administrator does that.</p>
      <div class="row"><${Button} kind="main" icon="plus" onPress=${() => setMaking(true)}>Make a token</${Button}></div>
    </div>
    ${live.length > 0 && html`<section class="panel stack" aria-label="Made here"><h2>Made here, and still good</h2>
      <ul class="tokens">${live.map((token) => html`<li key=${token.id}>
        <div><p class="row"><code>${token.id}</code>${token.job && html`<${Badge}>one job</${Badge}>`}</p><p class="note">${rights(token)}</p></div>
        <p class="note">ends <${Time} at=${token.expires_at} /></p></li>`)}</ul></section>`}
    ${making && html`<${Make} onDone=${done} onClose=${() => setMaking(false)} />`}
    ${shown && html`<${Once} title="The token" text=${shown.token} note="${rights(shown)}." onClose=${() => setShown(null)} />`}
  </section>`;
}

/** What a token may do, in words. @param {Token} token */
function rights({ job, models: only, origin, limits }) {
  const words = [job ? `reads ${job}` : only ? `makes clips with ${only.map(modelName).join(", ")}` : "makes clips with every model that your key may use"];
  if (limits.length) words.push(limits.map(limitWords).join(" and "));
  words.push(origin ? `on ${origin}` : "on any page");
  return words.join(" · ");
}

/** @param {{onDone: (token: Token) => void, onClose: () => void}} props */
function Make({ onDone, onClose }) {
  const [what, setWhat] = useState("clips");
  const [lasts, setLasts] = useState("600");
  const [jobs, setJobs] = useState("3");
  const [usd, setUsd] = useState("");
  const [model, setModel] = useState("");
  const [origin, setOrigin] = useState("");
  const [job, setJob] = useState("");
  useEffect(() => void readModels(), []);
  const send = async () => {
    const caps = { ...(jobs.trim() && { max_jobs: count(jobs.trim()) }), ...(usd.trim() && { max_usd: usd.trim().replace(/^\$/, "") }), ...(model && { models: [model] }) };
    if (what === "job" && !job.trim()) throw new Error("Give the job's id.");
    onDone(await post("tokens", { expires_in: Number(lasts), ...(what === "job" ? { job: job.trim() } : caps), ...(origin.trim() && { origin: origin.trim() }) }));
  };
  return html`<${Form} title="Make a browser token" action="Make the token" onSend=${send} onClose=${onClose}>
    <${Segments} label="For" options=${FOR} value=${what} onChange=${setWhat} />
    <${Segments} label="It works for" options=${LASTS} value=${lasts} onChange=${setLasts} />
    ${what === "job"
      ? html`<${Text} label="The job's id" value=${job} onInput=${setJob} placeholder="job_…" note="It reads this job and follows its events, and may be part of an address, for a player." />`
      : html`<div class="wall-days"><${Amount} label="Clips at most" value=${jobs} onInput=${setJobs} /><${Amount} label="Dollars at most" value=${usd} onInput=${setUsd} /></div>
        <${Select} label="Models" options=${[{ value: "", label: "All that your key may use" }, ...(models.value ?? []).map(({ id, title }) => ({ value: id, label: title }))]} value=${model} onChange=${setModel} />`}
    <${Text} label="The only page (optional)" value=${origin} onInput=${setOrigin} placeholder="https://…" note="Scheme and host of the page, without a path. The gateway must allow it too, by FILMGATE_CORS_ORIGINS." />
  </${Form}>`;
}

/** A number, or what was typed, for the API to explain. @param {string} text */
const count = (text) => (/^\d+$/.test(text) ? Number(text) : text);

/** @param {{label: string, value: string, onInput: (value: string) => void}} props */
const Amount = ({ label, value, onInput }) => html`<${Field} label=${label}>
  ${(/** @type {any} */ ids) => html`<input ...${ids} type="text" inputmode="decimal" autocomplete="off" placeholder="no cap" value=${value} onInput=${(/** @type {any} */ event) => onInput(event.target.value)} />`}
</${Field}>`;
