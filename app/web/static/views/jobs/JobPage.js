// The page of one job.

import { html, useState } from "../../core/html.js";
import { pictureOf } from "../../core/job.js";
import { modelName } from "../../core/models.js";
import { go } from "../../core/router.js";
import { isAdministrator } from "../../core/session.js";
import { useShortcuts } from "../../core/shortcuts.js";
import { useTitle } from "../../core/title.js";
import { whyOf } from "../../core/why.js";
import { ENDS, STATES, cost, explain } from "../../core/words.js";
import { State } from "../../ui/Badge.js";
import { Button } from "../../ui/Button.js";
import { Clip } from "../../ui/Clip.js";
import { Copy } from "../../ui/Copy.js";
import { Empty } from "../../ui/Empty.js";
import { Icon } from "../../ui/Icon.js";
import { Notice } from "../../ui/Notice.js";
import { Spinner } from "../../ui/Spinner.js";
import { Time } from "../../ui/Time.js";
import { Actions } from "./Actions.js";
import { nameOf, whose } from "./Cards.js";
import { Deliveries } from "./Deliveries.js";
import { Attempts, Entries, Logs, Timeline } from "./History.js";
import { AtFal, Inputs, Metadata } from "./Inputs.js";
import { Resolve } from "./Resolve.js";
import { useJob } from "./job.js";
import { list } from "./list.js";
import { safeMedia } from "./media.js";

const TITLE = 60;

/** @param {{id: string}} props */
export function JobPage({ id }) {
  const { whole, fault, again } = useJob(id);
  useShortcuts([
    { keys: "u", label: "Back to the list", run: () => go("/jobs") },
    { keys: "j", label: "The next job of the list", run: () => goBeside(id, 1) },
    { keys: "k", label: "The job before it", run: () => goBeside(id, -1) },
  ]);
  const name = whole ? nameOf(whole.job) : "Job";
  useTitle(whole ? `${STATES[whole.job.status]}: ${name.length > TITLE ? `${name.slice(0, TITLE)} …` : name}` : "Job");
  const back = html`<a class="back" href="/jobs"><${Icon} name="chevron" size=${16} />Jobs</a>`;
  if (fault) {
    const gone = /** @type {any} */ (fault).status === 404;
    return html`<div class="page job-page">${back}<h1 class="unseen">Job</h1>
      <${Empty} icon="info" title=${gone ? "This job is not here" : "This job cannot be shown"} text=${gone ? "It may be another team's or another user's, or too old: ended jobs are kept for a while only." : fault.message}>
        <${Button} onPress=${again}>Try again</${Button}><${Button} href="/jobs">All jobs</${Button}>
      </${Empty}></div>`;
  }
  if (!whole) return html`<div class="page job-page">${back}<h1 class="unseen">Job</h1><div key="reading" class="list-foot"><${Spinner} label="Reading the job" /></div></div>`;
  const { job, history, deliveries } = whole;
  return html`<div class="page job-page" data-status=${job.status}>
    ${back}
    <header class="job-head">
      <h1 title=${name}>${name}</h1>
      <p class="row"><${State} status=${job.status} /><span class="numbers">${cost(job)}</span><span class="note">${[job.input !== undefined && modelName(job.model), `by ${whose(job)}`].filter(Boolean).join(" · ")}</span>
        <span class="note"><${Time} at=${job.created_at} /></span>
        <span class="job-id note"><code>${job.id}</code><${Copy} text=${job.id} label="Copy the job's id" /></span></p>
      <${Actions} job=${job} onChange=${again} />
    </header>
    <div class="job-columns">
      <div class="stack">
        <${Why} job=${job} onChange=${again} />
        ${!isAdministrator() && html`<${Picture} job=${job} />`}
        ${job.input !== undefined && html`<${Inputs} input=${job.input} />`}
        <${AtFal} job=${job} />
        <${Metadata} job=${job} />
      </div>
      <div class="stack">
        <${Timeline} states=${history.states} />
        <${Entries} entries=${history.entries} job=${job} />
        <${Attempts} attempts=${history.attempts} />
        ${deliveries && html`<${Deliveries} job=${job} deliveries=${deliveries} onChange=${again} />`}
        <${Logs} lines=${job.logs ?? []} />
      </div>
    </div>
    <${Raw} whole=${whole} />
  </div>`;
}

/** Opens the job that many places further in the list, where one comes from the list. @param {string} id @param {number} by */
function goBeside(id, by) {
  const { ids } = list.value;
  const next = ids.includes(id) ? ids[ids.indexOf(id) + by] : undefined;
  if (next) go(`/jobs/${next}`);
}

/** The clip, or the picture that it begins with. @param {{job: any}} props */
function Picture({ job }) {
  const picture = safeMedia(pictureOf(job.input));
  if (job.status === "succeeded" && job.output) {
    return html`<div class="job-picture"><${Clip} job=${job} poster=${picture} label="Clip" /></div>`;
  }
  if (!picture) return null;
  return html`<div class="job-picture ${ENDS.has(job.status) ? "over" : ""}"><img src=${picture} alt="The picture that the clip begins with" /></div>`;
}

/** Why it waits, is held, was cancelled or failed; and what to do next. @param {{job: any, onChange: () => void}} props */
function Why({ job, onChange }) {
  if (job.status === "held") {
    const tail = !isAdministrator() && "Whoever runs this gateway sees it too, and can end it.";
    return html`<${Notice} tone="hold"><b>Held.</b> ${explain(job)} ${tail}</${Notice}>
      ${isAdministrator() && html`<${Resolve} job=${job} onChange=${onChange} />`}`;
  }
  if (job.error && job.status !== "succeeded") return html`<${Failure} error=${job.error} job=${job} />`;
  const words = explain(job);
  return words ? html`<${Notice}>${words}</${Notice}>` : null;
}

/** @param {{error: any, job: any}} props */
function Failure({ error, job }) {
  const { sentence, means, next, reasons, status } = whyOf(error);
  const failed = job.status === "failed";
  return html`<section class="why ${failed ? "bad" : ""}" aria-label="Why">
    <h2><${Icon} name=${failed ? "warning" : "info"} />${sentence}</h2>
    ${means && html`<p>${means}</p>`}
    ${reasons.length > 0 && html`<ul class="fals-reasons">${reasons.map(
      ({ place, message, type, link }, at) => html`<li key=${at}><p><span class="soft">fal says${place && html` about <code>${place}</code>`}:</span> ${message || type}</p>
        <p class="note">${type && html`<code>${type}</code>`} ${link && html`<a href=${link} target="_blank" rel="noopener noreferrer">What fal says about this error</a>`}</p></li>`,
    )}</ul>`}
    <p class="next"><b>What to do next:</b> ${next}</p>
    <p class="note"><code>${error.code}</code>${status ? html`, fal answered ${status}` : ""}. <a href="/problems/${error.code}" target="_blank" rel="noopener noreferrer">About this error</a></p>
  </section>`;
}

/** The reply of the API, folded. @param {{whole: import("./job.js").Whole}} props */
function Raw({ whole }) {
  const [open, setOpen] = useState(false);
  const { job, history, deliveries } = whole;
  const text = open ? JSON.stringify(isAdministrator() ? job : { job, history, deliveries }, null, 2) : "";
  return html`<details class="raw panel" onToggle=${(/** @type {any} */ event) => setOpen(event.currentTarget.open)}>
    <summary>Raw JSON</summary>
    ${open && html`<div class="snippet"><pre tabindex="0"><code>${text}</code></pre><${Copy} text=${text} kind="plain">Copy</${Copy}></div>`}
  </details>`;
}

