// What came of the form: the takes of the last order in front, earlier clips below.

import { get } from "../../core/api.js";
import { html, useEffect } from "../../core/html.js";
import { fileOf, pictureOf, promptOf } from "../../core/job.js";
import { follow } from "../../core/live.js";
import { persist } from "../../core/retry.js";
import { refreshMe } from "../../core/session.js";
import { useTitle } from "../../core/title.js";
import { ENDS, STATES, webAddress } from "../../core/words.js";
import { State } from "../../ui/Badge.js";
import { NoticeOffer } from "../../ui/Bell.js";
import { Button } from "../../ui/Button.js";
import { Clip } from "../../ui/Clip.js";
import { Empty } from "../../ui/Empty.js";
import { Spinner } from "../../ui/Spinner.js";
import { say, toast } from "../../ui/Toast.js";
import { CompareDialog } from "./compare.js";
import { canSample, takeSample } from "./sample.js";
import { compare, compared, jobs, model, onStage, recent, takeJob } from "./state.js";
import { Take } from "./take.js";

const RECENT = 12;
const BRIEF = 50;

/** @param {Error} error */
const failed = (error) => toast(error.message, { tone: "bad" });

/** Reads the newest jobs, and follows all that is shown. @param {AbortSignal} shown */
export async function keepStage(shown) {
  const read = async () => {
    const page = await persist(() => get(`jobs?limit=${RECENT}`, { signal: shown }), shown);
    if (!page || shown.aborted) return;
    for (const job of page.data) takeJob(job);
    recent.value = page.data.map((/** @type {any} */ job) => job.id);
    const first = page.data[0];
    if (!onStage.value.length && first && !ENDS.has(first.status)) onStage.value = [first.id];
  };
  const leave = follow(({ type, data }) => {
    if (type === "missed") return void read().catch(failed);
    if (!type.startsWith("job.") || !data) return undefined;
    const before = jobs.value[data.id];
    if (before) takeJob(data);
    else get(`jobs/${data.id}`, { signal: shown }).then(takeNew, () => {});
    if (before && before.status !== data.status && ENDS.has(data.status)) ended(data);
    return undefined;
  });
  shown.addEventListener("abort", leave);
  await read().catch(failed);
}

/** @param {any} job */
function takeNew(job) {
  takeJob(job);
  if (!recent.value?.includes(job.id)) recent.value = [job.id, ...(recent.value ?? [])].slice(0, RECENT);
}

/** @param {string} text */
const brief = (text) => (text.length > BRIEF ? `${text.slice(0, BRIEF).trimEnd()} …` : text);

/** @param {any} job */
function ended(job) {
  refreshMe().catch(() => {});
  const whole = jobs.value[job.id];
  if (!onStage.value.includes(job.id)) return;
  say(`${STATES[job.status]}: ${brief(promptOf(whole))}`);
}

export function Stage() {
  const takes = onStage.value.map((id) => jobs.value[id]).filter(Boolean);
  const open = takes.filter(({ status }) => !ENDS.has(status));
  const ready = takes.filter(({ status }) => status === "succeeded");
  useTitle(open.length ? `${STATES[open[0].status]} …` : takes.length ? (ready.length ? "Ready" : STATES[takes[0].status]) : "Playground");
  useEffect(() => {
    // A job that was ordered here, and is in no list yet.
    const news = onStage.value.filter((id) => recent.value && !recent.value.includes(id));
    if (news.length) recent.value = [...news.toReversed(), ...(recent.value ?? [])].slice(0, RECENT);
  }, [onStage.value]);
  const earlier = (recent.value ?? []).filter((id) => !onStage.value.includes(id) && jobs.value[id]);
  return html`<section class="stage" aria-label="Clips">
    ${takes.length > 0
      ? html`<div class="takes many-${Math.min(takes.length, 4)}">${takes.map((job) => html`<${Take} key=${job.id} job=${job} many=${takes.length > 1} onClose=${() => (onStage.value = onStage.value.filter((id) => id !== job.id))} />`)}</div>`
      : html`<${First} />`}
    <${NoticeOffer} />
    ${earlier.length > 0 && html`<div class="earlier"><div class="row"><h2>Earlier</h2><a class="push small" href="/jobs">All clips</a></div>
      <ul class="strip">${earlier.map((id) => html`<li key=${id}><${Thumb} job=${jobs.value[id]} /></li>`)}</ul></div>`}
    ${compared.value.length > 0 && html`<${CompareBar} />`}
  </section>`;
}

/** Before anything was made: what to do. */
function First() {
  if (recent.value === null) return html`<div class="stage-empty"><${Spinner} label="Reading your clips" /></div>`;
  return html`<div class="stage-empty"><${Empty} icon="film" title=${recent.value.length ? "Make the next clip" : "Make your first clip"}
      text="Choose a picture and say what happens. The price is shown before anything is bought.">
    ${model.value && canSample(model.value) && html`<${Button} icon="picture" onPress=${takeSample}>Try a sample</${Button}>`}
  </${Empty}></div>`;
}

/** @param {{job: any}} props */
function Thumb({ job }) {
  const picture = webAddress(pictureOf(job.input));
  const words = promptOf(job);
  const playable = job.status === "succeeded" && fileOf(job);
  return html`<div class="thumb">
    <button type="button" class="thumb-picture" aria-label="Show: ${words.slice(0, 80)}" onClick=${() => (onStage.value = [job.id])}>
      ${playable && job.output.video ? html`<${Clip} job=${job} quiet poster=${picture} label="" />` : picture ? html`<img src=${picture} alt="" loading="lazy" />` : html`<span class="thumb-words">${words}</span>`}
    </button>
    ${job.status !== "succeeded" && html`<span class="thumb-state"><${State} status=${job.status} /></span>`}
    <p title=${words}>${words}</p>
    ${playable && html`<${Button} kind="quiet" icon=${compared.value.includes(job.id) ? "check" : "compare"} label=${compared.value.includes(job.id) ? "Chosen to compare" : "Compare"}
      aria-pressed=${compared.value.includes(job.id)} onPress=${() => compare(job.id)} />`}
  </div>`;
}

const close = () => (compared.value = []);

function CompareBar() {
  const [one, other] = compared.value.map((id) => jobs.value[id]);
  if (one && other) return html`<${CompareDialog} one=${one} other=${other} onClose=${close} />`;
  return html`<div class="compare-bar" role="status"><span>One clip is chosen. Choose another to compare it with.</span><${Button} kind="quiet" onPress=${close}>Leave it</${Button}></div>`;
}
