import { remove } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { readPages } from "../../core/pages.js";
import { may, me } from "../../core/session.js";
import { fileSize } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Confirm } from "../../ui/Confirm.js";
import { Icon } from "../../ui/Icon.js";
import { Notice } from "../../ui/Notice.js";
import { Time } from "../../ui/Time.js";
import { toast } from "../../ui/Toast.js";
import { Unread, useReading } from "../admin/reading.js";
import { safeMedia } from "../jobs/media.js";

const PAGE = 20;

/** @typedef {import("../../core/shapes.js").UploadedFile} UploadedFile */

/**
 * So many pages of the uploaded files, those that stay longest first.
 * @param {number} pages @param {AbortSignal} signal @returns {Promise<{found: UploadedFile[], more: boolean}>}
 */
const readUploads = (pages, signal) => readPages(`files?limit=${PAGE}`, signal, pages);

/** The files that were uploaded as inputs: one's own, with `team:read` the team's. `onDelete` follows an end. @param {{onDelete: () => any}} props */
export function Uploads({ onDelete }) {
  const [pages, setPages] = useState(1);
  const [ending, setEnding] = useState(/** @type {UploadedFile | null} */ (null));
  const { value, fault, again } = useReading((signal) => readUploads(pages, signal), [pages]);
  const end = async () => {
    await remove(`files?url=${encodeURIComponent(ending?.url ?? "")}`);
    await Promise.all([again(), onDelete()]);
    toast("The file is deleted.", { tone: "good" });
  };
  return html`<section class="panel stack uploads" aria-label="Uploaded files">
    <h2>${may("team:read") || may("team:admin") ? "The team's uploaded files" : "Your uploaded files"}</h2>
    ${!value && html`<${Unread} fault=${fault} again=${again} label="Reading the files" />`}
    ${value && fault && html`<${Notice} tone="bad" actions=${html`<${Button} onPress=${again}>Try again</${Button}>`}>${fault}</${Notice}>`}
    ${value && !value.found.length && html`<p class="note">None. Pictures, videos and sounds that are chosen in the playground, or sent by a program, appear here.</p>`}
    ${value && value.found.length > 0 && html`<ul>${value.found.map((file) => html`<${Line} key=${file.url} file=${file} onEnd=${() => setEnding(file)} />`)}</ul>`}
    ${value?.more && html`<div class="row"><${Button} onPress=${() => setPages(pages + 1)}>Show more</${Button}></div>`}
    ${ending && html`<${Confirm} title="Delete this file?" text="Its copy here is gone for good, and new jobs cannot name it. Jobs that are ordered go on." action="Delete it" onConfirm=${end} onClose=${() => setEnding(null)} />`}
  </section>`;
}

/** @param {{file: UploadedFile, onEnd: () => void}} props */
function Line({ file, onEnd }) {
  const { url, type, size, kept, user, created_at: made, expires_at: ends, seconds, width, height } = file;
  const address = safeMedia(url);
  const facts = [type, width && height ? `${width} × ${height}` : "", seconds ? `${seconds} s` : "", fileSize(size)].filter(Boolean);
  const mine = user === me.value?.user.id;
  return html`<li>
    <span class="upload-look">${address && type.startsWith("image/") ? html`<img src=${address} alt="" loading="lazy" />` : html`<${Icon} name=${type.startsWith("audio/") ? "sound" : "film"} />`}</span>
    <div><p>${facts.join(" · ")}</p><p class="note">${made && html`uploaded <${Time} at=${made} /> · `}${kept ? "kept here" : "at fal only"} · ends <${Time} at=${ends} /></p></div>
    ${kept && (mine || may("team:admin")) && html`<${Button} kind="quiet" icon="trash" label="Delete this file" onPress=${onEnd} />`}
  </li>`;
}
