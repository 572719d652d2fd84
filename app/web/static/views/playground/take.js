// One take: how far it is, then the clip.

import { get, post } from "../../core/api.js";
import { nowBySeconds } from "../../core/clock.js";
import { html, useEffect, useState } from "../../core/html.js";
import { fileOf, pictureOf, promptOf } from "../../core/job.js";
import { modelName } from "../../core/models.js";
import { mayAct } from "../../core/session.js";
import { whyOf } from "../../core/why.js";
import { ENDS, cancelWarning, clock, cost, explain, plural, roughly, webAddress } from "../../core/words.js";
import { State } from "../../ui/Badge.js";
import { Button } from "../../ui/Button.js";
import { Clip } from "../../ui/Clip.js";
import { Confirm } from "../../ui/Confirm.js";
import { Icon } from "../../ui/Icon.js";
import { Time } from "../../ui/Time.js";
import { usualRuns } from "./quote.js";
import { ShareDialog } from "../share/ShareDialog.js";
import { copyLink } from "../share/copyLink.js";
import { compare, compared, reuse, takeJob } from "./state.js";

const LOOK_MS = 3000;

/** The steps that a job goes through, in words. @type {[string, string][]} */
const STAGES = [["queued", "In line"], ["submitting", "Handed over"], ["running", "Being made"], ["finalizing", "Being fetched"], ["succeeded", "Ready"]];

/** The share that fal's own log says, such as `Generating: 25%`, or null. @param {any} job */
function logged({ logs }) {
  const text = (logs ?? []).map((/** @type {any} */ line) => line.message ?? `${line}`).findLast((/** @type {string} */ line) => /\d{1,3} ?%/.test(line));
  return text ? Math.min(100, Number(/(\d{1,3}) ?%/.exec(text)?.[1])) / 100 : null;
}

/** @param {{id: string, job: any, many: boolean, onClose: () => void}} props */
export function Take({ job, many, onClose }) {
  useLooks(job);
  const [asking, setAsking] = useState(false);
  const [sharing, setSharing] = useState(false);
  const live = !ENDS.has(job.status);
  const mine = mayAct(job);
  const cancel = async () => takeJob(await post(`jobs/${job.id}/cancel`));
  return html`<article class="take ${job.status}" aria-label="Take: ${promptOf(job).slice(0, 60)}" data-status=${job.status}>
    <div class="take-picture">
      ${job.status === "succeeded" ? html`<${Clip} job=${job} autoplay poster=${webAddress(pictureOf(job.input))} label="Clip: ${promptOf(job).slice(0, 60)}" />` : html`<${Waiting} job=${job} />`}
    </div>
    <div class="take-words">
      <div class="row"><${State} status=${job.status} /><span class="note numbers">${cost(job)}</span><span class="note push"><${Time} at=${job.created_at} /></span></div>
      <p class="take-prompt">${promptOf(job)}</p>
      <p class="note about">${[modelName(job.model), job.input?.duration && `${job.input.duration} s`, job.output?.voice_id && `voice ${job.output.voice_id}`].filter(Boolean).join(" · ")}</p>
      <${Reason} job=${job} />
      ${job.logs?.length > 0 && html`<details class="logs"><summary class="note">fal's log, ${plural(job.logs.length, "line")}</summary>
        <ol>${job.logs.map((/** @type {any} */ line, /** @type {number} */ at) => html`<li key=${at}>${line.message}</li>`)}</ol></details>`}
      <div class="row take-tools">
        ${job.status === "succeeded" && html`<${Download} job=${job} />
          <${Button} kind="quiet" icon="link" onPress=${() => copyLink(job)}>Copy link</${Button}>
          ${job.output?.video && mine && html`<${Button} kind="quiet" icon="share" onPress=${() => setSharing(true)}>Share</${Button}>`}
          <${Button} kind="quiet" icon="compare" aria-pressed=${compared.value.includes(job.id)} onPress=${() => compare(job.id)}>Compare</${Button}>`}
        ${job.input && html`<${Button} kind="quiet" icon="again" onPress=${() => again(job)}>Again</${Button}>`}
        ${mine && live && !job.cancel_requested_at && html`<${Button} kind="quiet" icon="close" onPress=${() => setAsking(true)}>Cancel</${Button}>`}
        <${Button} kind="quiet" icon="info" href="/jobs/${job.id}">Details</${Button}>
        ${many && !live && html`<${Button} kind="quiet" icon="close" label="Take it off the stage" onPress=${onClose} />`}
      </div>
    </div>
    ${sharing && html`<${ShareDialog} job=${job} onClose=${() => setSharing(false)} />`}
    ${asking && html`<${Confirm} title="Cancel this clip?" text=${cancelWarning(job.status)} action="Cancel the clip" onConfirm=${cancel} onClose=${() => setAsking(false)} />`}
  </article>`;
}

/** Reads an unfinished job again and again: its place in line and fal's log are in no event. @param {any} job */
function useLooks(job) {
  const active = !ENDS.has(job.status) && job.status !== "held";
  useEffect(() => {
    if (!active) return undefined;
    const timer = setInterval(() => !document.hidden && get(`jobs/${job.id}`).then(takeJob, () => {}), LOOK_MS);
    return () => clearInterval(timer);
  }, [job.id, active]);
}

/** The source picture with what is going on above it. @param {{job: any}} props */
function Waiting({ job }) {
  const picture = webAddress(pictureOf(job.input));
  if (ENDS.has(job.status)) return html`<div class="waiting over">${picture && html`<img src=${picture} alt="" />`}</div>`;
  const running = job.status === "running" || job.status === "finalizing";
  const since = running && job.submitted_at ? job.submitted_at : job.created_at;
  const elapsed = (nowBySeconds() - Date.parse(since)) / 1000;
  const usual = usualRuns.get(job.model);
  const share = logged(job) ?? (running && usual ? Math.min(0.95, elapsed / usual) : null);
  const step = STAGES.findIndex(([status]) => status === job.status);
  const last = (job.logs ?? []).at(-1)?.message;
  return html`<div class="waiting">
    ${picture && html`<img src=${picture} alt="The picture that the clip begins with" />`}
    <div class="waiting-words">
      <ol class="stages" aria-label="Progress">${STAGES.map(([status, words], at) => html`<li key=${status} class=${at < step ? "done" : at === step ? "now" : ""} aria-current=${at === step ? "step" : undefined}>${words}</li>`)}</ol>
      <div class="progress ${share === null ? "open" : ""}" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100" aria-valuenow=${share === null ? undefined : Math.round(share * 100)}>
        <span style=${{ width: `${(share ?? 0.3) * 100}%` }}></span></div>
      <p class="numbers"><b>${clock(elapsed)}</b>${running && usual ? ` of usually ${roughly(usual)}` : ""}${last ? html` <span class="log">fal: ${last}</span>` : ""}</p>
    </div>
  </div>`;
}

/** Why it waits, is held or has failed, with fal's own words. @param {{job: any}} props */
function Reason({ job }) {
  if (job.status !== "failed" || !job.error) return explain(job) ? html`<p class="note explain" role="status">${explain(job)}</p>` : null;
  const { sentence, reasons, next } = whyOf(job.error);
  return html`<div class="failed-why" role="status"><p><b>${sentence}</b> ${next}</p>
    ${reasons.map(({ message, type, link }) => html`<p>fal says: ${message || type}</p>
      ${link && html`<p><a href=${link} target="_blank" rel="noopener noreferrer">What fal says about this error</a></p>`}`)}</div>`;
}

/** @param {{job: any}} props */
function Download({ job }) {
  const file = fileOf(job);
  const address = webAddress(file?.url ?? "");
  if (!address) return null;
  const ending = /\.\w{2,4}$/.exec(file.file_name ?? "")?.[0] ?? (job.output.video ? ".mp4" : ".mp3");
  return html`<a class="button quiet" href=${address} download="${job.id}${ending}" target="_blank" rel="noopener noreferrer"><${Icon} name="down" size=${18} />Download</a>`;
}

/** @param {any} job */
function again(job) {
  reuse(job);
  document.querySelector(".maker")?.scrollIntoView({ block: "start" });
  document.getElementById("input-prompt")?.focus({ preventScroll: true });
}
