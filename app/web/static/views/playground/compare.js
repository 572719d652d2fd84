// Two clips side by side, playing together, and where their inputs differ.

import { html, useRef } from "../../core/html.js";
import { promptOf } from "../../core/job.js";
import { modelName } from "../../core/models.js";
import { label } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Clip } from "../../ui/Clip.js";
import { Dialog } from "../../ui/Dialog.js";

/** @param {any} value */
const shown = (value) => (value === undefined ? "–" : typeof value === "string" ? value : (value?.url ?? JSON.stringify(value)));

/** The rows of the table: members that differ. @param {any} one @param {any} other @returns {[string, string, string][]} */
function differences(one, other) {
  const inputs = [{ model: modelName(one.model), ...one.input }, { model: modelName(other.model), ...other.input }];
  const names = [...new Set(inputs.flatMap((input) => Object.keys(input)))];
  return names.map((name) => /** @type {[string, string, string]} */ ([name, shown(inputs[0][name]), shown(inputs[1][name])])).filter(([, left, right]) => left !== right);
}

/** @param {{one: any, other: any, onClose: () => void}} props */
export function CompareDialog({ one, other, onClose }) {
  const pair = useRef(/** @type {HTMLDivElement | null} */ (null));
  const both = (/** @type {(video: HTMLVideoElement) => void} */ act) => pair.current?.querySelectorAll("video").forEach(act);
  const rows = differences(one, other);
  const actions = html`<${Button} icon="again" onPress=${() => both((video) => (video.currentTime = 0))}>From the start</${Button}>
    <${Button} kind="main" icon="play" onPress=${() => both((video) => (video.paused ? video.play() : video.pause()))}>Play or pause both</${Button}>`;
  return html`<${Dialog} title="Compare two clips" wide onClose=${onClose} actions=${actions}>
    <div class="pair" ref=${pair}>${[one, other].map((job) => html`<figure key=${job.id}><${Clip} job=${job} label=${promptOf(job)} /><figcaption>${promptOf(job)}</figcaption></figure>`)}</div>
    ${rows.length > 0
      ? html`<div class="table-scroll"><table class="table"><caption class="unseen">What differs</caption><thead><tr><th scope="col">Differs</th><th scope="col">Left</th><th scope="col">Right</th></tr></thead>
          <tbody>${rows.map(([name, left, right]) => html`<tr key=${name}><th scope="row">${label(name)}</th><td>${left}</td><td>${right}</td></tr>`)}</tbody></table></div>`
      : html`<p class="note">Both were made from the same input.</p>`}
  </${Dialog}>`;
}
