import { get } from "../../core/api.js";
import { html } from "../../core/html.js";
import { fileSize, plural } from "../../core/words.js";
import { Bar } from "../../ui/Bar.js";
import { Button } from "../../ui/Button.js";
import { Empty } from "../../ui/Empty.js";
import { Unread, useReading } from "../admin/reading.js";
import { Uploads } from "./Uploads.js";

/** What the team's clips and inputs occupy, and how long they are kept. */
export function Storage() {
  const { value, fault, again } = useReading((signal) => get("me", { signal }), []);
  if (!value) return html`<${Unread} fault=${fault} again=${again} label="Reading the storage" />`;
  const { storage, retention_days: days } = value;
  return html`<div class="stack">
    ${storage
      ? html`<${Kept} storage=${storage} days=${days ?? 0} />`
      : html`<div class="panel storage"><${Empty} icon="down" title="Clips are not copied here" text="This gateway keeps the clips' addresses only. fal itself keeps the files for a week at least: download what you need longer. Whoever runs the gateway can have them kept (FILMGATE_STORAGE).">
          <${Button} href="/jobs?status=succeeded">Look at the clips</${Button}></${Empty}></div>`}
    <${Uploads} onDelete=${again} />
  </div>`;
}

/** @param {{storage: import("../../core/shapes.js").StorageUse, days: number}} props */
function Kept({ storage, days }) {
  return html`<section class="panel stack storage" aria-label="Storage">
    <h2>The team's clips and inputs</h2>
    <p class="storage-used numbers"><b>${fileSize(storage.used_bytes)}</b> <span class="soft">${storage.limit_bytes === null ? "used; no limit" : `of ${fileSize(storage.limit_bytes)}`}</span></p>
    <${StorageBar} use=${storage} />
    ${storage.held_bytes > 0 && html`<p class="note">${fileSize(storage.held_bytes)} more are on their way.</p>`}
    ${storage.left_bytes !== null && html`<p class="note">${fileSize(storage.left_bytes)} left.${storage.left_bytes === 0 ? " Uploads are refused, and new clips stay at fal, until something is deleted or an administrator raises the limit." : ""}</p>`}
    <dl class="storage-facts">
      <div><dt>Kept for</dt><dd>${plural(days, "day")} after a job has ended; then its record, its clip and its inputs go.</dd></div>
      <div><dt>What counts</dt><dd>Copies of finished clips, and files that were uploaded as inputs, of everybody in the team.</dd></div>
      <div><dt>To make room</dt><dd>“Erase” on a job's page deletes its clip and the uploads that it names, at once.</dd></div>
    </dl>
    <div class="row"><${Button} href="/jobs">Look at the jobs</${Button}></div>
  </section>`;
}

/** How much of a storage limit is used and on its way; nothing where there is no limit. @param {{use: import("../../core/shapes.js").StorageUse}} props */
export function StorageBar({ use: { used_bytes: used, held_bytes: held, limit_bytes: limit } }) {
  if (limit === null) return null;
  const part = (/** @type {number} */ bytes) => (limit > 0 ? bytes / limit : 1);
  return html`<${Bar} used=${part(used)} held=${part(held)} label="${Math.round(part(used + held) * 100)} % of the storage limit is used or on its way" />`;
}
