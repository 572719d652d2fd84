// Files in inputs and outputs: which addresses the page shows, and how.

import { html } from "../../core/html.js";
import { fileSize, webAddress } from "../../core/words.js";

const HERE = new Set(["127.0.0.1", "localhost"]);

/**
 * The address of a file that the page may show, else null: https, this gateway, or a program on this machine.
 * The page's policy refuses others, and each refusal is a report. @param {unknown} address
 */
export function safeMedia(address) {
  if (typeof address !== "string" || !address) return null;
  const found = webAddress(address);
  if (!found || found.startsWith("/")) return found;
  const url = new URL(found);
  return url.protocol === "https:" || HERE.has(url.hostname) || url.origin === location.origin ? found : null;
}

/** `image`, `video` or `audio` of a member of an input by its name, else null. @param {string} name */
export function kindOfName(name) {
  const found = /(image|video|audio|voice|mask)(_\w+)?_urls?$/.exec(name)?.[1] ?? /^(\w*_)?(image|video|audio)_urls?$/.exec(name)?.[2];
  if (!found) return null;
  return { image: "image", mask: "image", video: "video", audio: "audio", voice: "audio" }[found] ?? null;
}

/** A file of an input: its picture, video or sound with a link, and what is known of it. @param {{file: any, kind: string}} props */
export function InputFile({ file, kind }) {
  const given = typeof file === "string" ? file : file?.url;
  const address = safeMedia(given);
  const link = typeof given === "string" ? webAddress(given) : null;
  const size = typeof file?.size === "number" ? fileSize(file.size) : "";
  const about = [typeof file?.type === "string" ? file.type : "", file?.width && file?.height ? `${file.width} × ${file.height}` : "", size].filter(Boolean).join(", ");
  const words = about || (typeof given === "string" && !given.startsWith("data:") ? given : "A file in the request");
  return html`<figure class="input-file">
    ${address && (kind === "image"
      ? html`<img src=${address} alt="" loading="lazy" />`
      : kind === "video" ? html`<video src=${address} controls preload="metadata"></video>` : html`<audio src=${address} controls preload="none"></audio>`)}
    <figcaption class="note">${link ? html`<a href=${link} target="_blank" rel="noopener noreferrer">${words}</a>` : words}</figcaption>
  </figure>`;
}
