// The choice of a model: what each takes, what the usual clip costs, and why one cannot be had.

import { html, useState } from "../../core/html.js";
import { modelName, models } from "../../core/models.js";
import { dollars } from "../../core/words.js";
import { Badge } from "../../ui/Badge.js";
import { Dialog } from "../../ui/Dialog.js";
import { Icon } from "../../ui/Icon.js";
import { Segments } from "../../ui/Segments.js";
import { mediaKind } from "./schema.js";
import { chooseModel, model } from "./state.js";

/** @type {Record<string, string>} */
const KINDS = {
  "image-to-video": "From a picture",
  "text-to-video": "From words alone",
  "reference-to-video": "From references",
  "video-to-video": "From a video",
  "audio-to-video": "From a sound",
  "video-to-audio": "Sound for a video",
  "text-to-audio": "Speech",
  "audio-to-voice": "A voice",
};
const OLD = 2.5; // numbered versions below this are listed as earlier ones

/** True for a model that one would choose today. @param {any} one */
const isCurrent = ({ priced, marks, version }) =>
  priced && !marks.includes("deprecated") && !(Number(version) < OLD);

/** Why a model cannot be chosen, or what to know of it. @param {any} one */
function remark({ priced, marks }) {
  if (!priced) return "No price is known yet, so it cannot be bought. An operator can set one.";
  if (marks.includes("deprecated")) return "fal calls it deprecated.";
  if (marks.includes("unlisted")) return "It is not in fal's list.";
  if (marks.includes("unverified")) return "Some of its fields could not be read in fal's schema.";
  return "";
}

/** What a model takes, as icons with words. @param {any} one */
function takes(one) {
  const { properties } = one.input;
  const files = Object.entries(properties).map(([name, schema]) => [name, mediaKind(schema.items ?? schema)]);
  const kinds = files.filter(([name]) => !/mask/.test(name ?? "")).map(([, kind]) => kind);
  const found = [];
  if (properties.prompt || properties.text) found.push(["text", "words"]);
  if (kinds.includes("image")) found.push(["picture", "picture"]);
  if (properties.end_image_url || properties.tail_image_url) found.push(["end", "last frame"]);
  if (kinds.includes("video")) found.push(["film", "video"]);
  if (kinds.includes("audio")) found.push(["sound", "sound"]);
  if (properties.generate_audio) found.push(["sound", "makes sound"]);
  return found;
}

/** `$0.84 for 5 s`. @param {any} one */
function usualPrice({ usual_price: usual }) {
  if (!usual) return "";
  const length = usual.video_seconds ? ` for ${usual.video_seconds} s` : " each";
  return `${usual.basis === "ceiling" ? "up to " : ""}${dollars(usual.usd)}${usual.basis === "flat" ? " each" : length}`;
}

/** The chosen model; a press opens the list. */
export function ModelChoice() {
  const [open, setOpen] = useState(false);
  const one = model.value;
  if (!one) return null;
  return html`<div class="field"><span class="like-label" id="model-label">Model</span>
    <button type="button" id="model" class="model-button" aria-haspopup="dialog" aria-describedby="model-label" onClick=${() => setOpen(true)}>
      <span><b>${modelName(one.id)}</b><${Takes} one=${one} /></span>
      <span class="model-price numbers">${usualPrice(one)}</span><${Icon} name="chevron" />
    </button>
    ${remark(one) && html`<p class="note">${remark(one)}</p>`}
    ${open && html`<${ModelList} onClose=${() => setOpen(false)} />`}
  </div>`;
}

/** @param {{one: any}} props */
const Takes = ({ one }) => html`<span class="takes">${takes(one).map(([icon, words]) => html`<span title=${words}><${Icon} name=${icon} size=${14} />${words}</span>`)}</span>`;

/** @param {{onClose: () => void}} props */
function ModelList({ onClose }) {
  const [kind, setKind] = useState(model.value?.kind ?? "image-to-video");
  const [text, setText] = useState("");
  const all = models.value ?? [];
  const kinds = Object.entries(KINDS).filter(([value]) => all.some((one) => one.kind === value));
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = all.filter((one) => (words.length ? words.every((word) => `${one.title} ${one.id}`.toLowerCase().includes(word)) : one.kind === kind));
  /** @type {[string, any[]][]} */
  const sorted = [
    ["Current", found.filter(isCurrent)],
    ["Earlier", found.filter((one) => !isCurrent(one) && one.priced)],
    ["Not available", found.filter((one) => !one.priced)],
  ];
  const groups = sorted.filter(([, list]) => list.length);
  const choose = (/** @type {any} */ one) => {
    if (!one.priced) return;
    chooseModel(one.id);
    onClose();
  };
  return html`<${Dialog} title="Choose a model" wide onClose=${onClose}>
    <div class="model-filter">
      <input type="search" aria-label="Search models" placeholder="Search, such as 3.0 pro" value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)} />
      ${!words.length && html`<${Segments} label="Made from" hideLabel options=${kinds.map(([value, name]) => ({ value, label: name }))} value=${kind} onChange=${setKind} />`}
    </div>
    ${groups.map(
      ([title, list]) => html`<section key=${title}><h3>${title}</h3><ul class="model-list">
        ${list.map(
          (/** @type {any} */ one) => html`<li key=${one.id}><button type="button" data-model=${one.id} aria-current=${one.id === model.value?.id ? "true" : undefined}
            aria-disabled=${one.priced ? undefined : "true"} onClick=${() => choose(one)}>
            <span><b>${one.title}${one.default && html` <${Badge} tone="accent">default</${Badge}>`}</b><${Takes} one=${one} />
            ${remark(one) && html`<span class="note">${remark(one)}</span>`}</span>
            <span class="model-price numbers">${usualPrice(one)}</span></button></li>`,
        )}
      </ul></section>`,
    )}
    ${!groups.length && html`<p class="note">No model has these words. Try a version, such as 2.5, or a kind, such as edit.</p>`}
  </${Dialog}>`;
}
