// The two looks of the list: a gallery in which the clips are the picture, and a table.

import { html } from "../../core/html.js";
import { pictureOf, promptOf } from "../../core/job.js";
import { modelName } from "../../core/models.js";
import { isAdministrator, may, me } from "../../core/session.js";
import { cost, dollars } from "../../core/words.js";
import { State } from "../../ui/Badge.js";
import { Clip } from "../../ui/Clip.js";
import { Icon } from "../../ui/Icon.js";
import { Rows, textScale, useWidth } from "../../ui/Rows.js";
import { Time } from "../../ui/Time.js";
import { records } from "./list.js";
import { safeMedia } from "./media.js";

const CARD_WIDTH = 232;
const GAP = 20;
const WORDS_HEIGHT = 92;
const LINE_HEIGHT = 64;
const NARROW_LINE_HEIGHT = 84;
const NARROW = "(max-width: 48rem)"; // as in jobs.css

/** @typedef {{ids: string[], more: boolean, onNear: () => void}} Shown */

/** What a job is called: its prompt, or for an administrator, who sees none, its model. @param {any} job */
export const nameOf = (job) => (job.input === undefined ? modelName(job.model) : promptOf(job));

/** Who submitted it. @param {any} job */
export const whose = (job) => [job.user_name ?? (job.user === me.value?.user.id ? me.value?.user.name : job.user), job.team_name].filter(Boolean).join(" · ");

/** Pictures side by side. @param {Shown} props */
export function Gallery({ ids, more, onNear }) {
  const [box, width] = useWidth();
  const scale = textScale();
  const columns = Math.max(1, Math.min(8, Math.floor((width + GAP) / (CARD_WIDTH * scale + GAP))) || 1);
  const card = (width - GAP * (columns - 1)) / columns;
  const height = Math.round((card * 9) / 16 + WORDS_HEIGHT * scale) + GAP;
  return html`<div ref=${box}>${width > 0 && html`<${Rows} lines=${Math.ceil(ids.length / columns)} height=${height} more=${more} onNear=${onNear}>
    ${(/** @type {number} */ from, /** @type {number} */ to) => html`<ul class="cards" style=${{ gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`, gridAutoRows: `${height}px` }}>
      ${ids.slice(from * columns, to * columns).map((id) => html`<li key=${id}><${Card} job=${records.get(id)} /></li>`)}
    </ul>`}
  </${Rows}>`}</div>`;
}

/** @param {{job: any}} props */
function Card({ job }) {
  const words = nameOf(job);
  return html`<article class="card" data-job=${job.id}>
    <div class="card-picture"><${Picture} job=${job} moving />
      ${job.status !== "succeeded" && html`<span class="card-state"><${State} status=${job.status} /></span>`}</div>
    <h2><a href="/jobs/${job.id}" title=${words}>${words}</a></h2>
    <p class="note">${[may("team:read") && whose(job), modelName(job.model)].filter(Boolean).join(" · ")}</p>
    <p class="note numbers"><${Time} at=${job.created_at} /> · ${short(job)}</p>
  </article>`;
}

/** The cost in a word or two. @param {any} job */
const short = (job) => (job.charged_usd === null ? `${dollars(job.quoted_usd)} set aside` : cost(job).replace(/(?<!not) charged$/, ""));

/** The clip, else the picture that it begins with, else a sign. @param {{job: any, moving?: boolean}} props */
function Picture({ job, moving = false }) {
  const picture = safeMedia(pictureOf(job.input));
  const playable = moving && job.status === "succeeded" && job.output?.video && safeMedia(job.output.video.url);
  if (playable) return html`<${Clip} job=${job} quiet poster=${picture} label="" />`;
  if (picture) return html`<img src=${picture} alt="" loading="lazy" decoding="async" />`;
  return html`<${Icon} name=${job.output?.audio ? "sound" : "film"} size=${moving ? 30 : 20} />`;
}

/** One line for each job. @param {Shown} props */
export function Table({ ids, more, onNear }) {
  const [box] = useWidth();
  const height = Math.round((matchMedia(NARROW).matches ? NARROW_LINE_HEIGHT : LINE_HEIGHT) * textScale());
  const people = may("team:read");
  return html`<div ref=${box} class="lines ${people ? "with-people" : ""}" role="table" aria-label="Jobs" aria-rowcount=${more ? -1 : ids.length + 1}>
    <div role="rowgroup" class="lines-head"><div role="row" class="line" aria-rowindex="1">
      <span role="columnheader" class="line-name">${isAdministrator() ? "Job" : "Clip"}</span><span role="columnheader">State</span>
      ${people && html`<span role="columnheader">By</span>`}<span role="columnheader" class="number">Cost</span><span role="columnheader" class="number">Submitted</span>
    </div></div>
    <${Rows} lines=${ids.length} height=${height} more=${more} onNear=${onNear}>
      ${(/** @type {number} */ from, /** @type {number} */ to) => html`<div role="rowgroup">
        ${ids.slice(from, to).map((id, at) => html`<${Line} key=${id} job=${records.get(id)} index=${from + at + 2} height=${height} people=${people} />`)}
      </div>`}
    </${Rows}>
  </div>`;
}

/** @param {{job: any, index: number, height: number, people: boolean}} props */
function Line({ job, index, height, people }) {
  const words = nameOf(job);
  return html`<div role="row" class="line" aria-rowindex=${index} style=${{ height: `${height}px` }} data-job=${job.id}>
    <div role="cell" class="line-name">${!isAdministrator() && html`<span class="line-picture"><${Picture} job=${job} /></span>`}
      <div><a href="/jobs/${job.id}" title=${words}>${words}</a><p class="note">${job.input === undefined ? job.id : modelName(job.model)}</p></div></div>
    <div role="cell"><${State} status=${job.status} /></div>
    ${people && html`<div role="cell" class="line-who">${whose(job)}</div>`}
    <div role="cell" class="number">${short(job)}</div>
    <div role="cell" class="number line-time"><${Time} at=${job.created_at} /></div>
  </div>`;
}
