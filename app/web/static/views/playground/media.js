// A picture, video or sound: chosen, dropped, pasted, photographed, or given by its address.

import { Refused, upload } from "../../core/api.js";
import { html, useEffect, useId, useRef, useState } from "../../core/html.js";
import { fileSize, webAddress } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Icon } from "../../ui/Icon.js";
import { Spinner } from "../../ui/Spinner.js";
import { model } from "./state.js";

/** @typedef {import("./schema.js").Media} Media */

/** @type {Record<string, {accept: string, word: string, icon: string}>} */
const KINDS = {
  image: {
    accept: "image/jpeg,image/png,image/webp,image/heic,image/heif,image/avif,image/gif,image/bmp,image/tiff,.heic,.heif,.avif,.tif,.tiff",
    word: "a picture",
    icon: "picture",
  },
  video: { accept: "video/mp4,video/quicktime,video/webm,.mp4,.mov,.webm", word: "a video", icon: "film" },
  audio: { accept: "audio/*,.m4a,.mp3,.wav,.aac,.ogg,.flac", word: "a sound", icon: "sound" },
};
const MB = 2 ** 20;
/** The most that the gateway takes, in bytes. @type {Record<string, number>} */
const MOST = { image: 30 * MB, video: 300 * MB, audio: 300 * MB };
const KEPT = /\.(jpe?g|png|webp)$/i; // pictures that the gateway stores as they are

let count = 0;

/**
 * A file in the form before its upload has ended. @param {File} file @returns {Media}
 */
const fresh = (file) => ({
  id: `file-${(count += 1)}-${Date.now()}`,
  url: "",
  name: file.name || "pasted picture",
  size: file.size,
  type: file.type,
  uploading: true,
  preview: /^(image|video)\//.test(file.type) ? URL.createObjectURL(file) : undefined,
});

/** Why a file is not uploaded at all, or "". @param {File} file @param {string} kind */
function tooLarge({ name, size }, kind) {
  const { title, image_limits: limits } = model.value ?? {};
  const own = kind === "image" && KEPT.test(name) && limits && limits.max_bytes < MOST.image; // others are made smaller first
  const most = own ? limits.max_bytes : MOST[kind];
  if (size <= most) return "";
  return `${name} has ${fileSize(size)}, and ${own ? title : "the gateway"} takes at most ${fileSize(most)}. Make it smaller, then choose it again.`;
}

/**
 * Uploads a file; `set(change)` gets a function from the value before to the value after, which leaves another file alone.
 * @param {File} file @param {(change: (now: Media | undefined) => Media | undefined) => void} set @param {string} [kind]
 */
export async function take(file, set, kind = "image") {
  const fault = tooLarge(file, kind);
  if (fault) return set((now) => ({ ...now, url: now?.url ?? "", fault }));
  const mine = fresh(file);
  set(() => mine);
  const change = (/** @type {Partial<Media>} */ known) =>
    set((now) => (now && now.id === mine.id ? { ...now, uploading: false, ...known } : now));
  try {
    const stored = await upload(file, { name: mine.name });
    change({ url: stored.url, type: stored.type, size: stored.size, width: stored.width, height: stored.height, seconds: stored.seconds, from: stored.converted_from });
  } catch (error) {
    const again = error instanceof Refused && error.temporary ? " Choose the file again." : "";
    change({ fault: `${/** @type {Error} */ (error).message}${again}` });
  }
}

/**
 * Uploads a file that has to be fetched or drawn first.
 * @param {Promise<File>} coming @param {(change: (now: Media | undefined) => Media | undefined) => void} set
 */
export async function takeComing(coming, set) {
  const file = await coming.catch(() => null);
  if (file) await take(file, set);
  else set(() => ({ url: "", fault: "The sample could not be fetched. Try it again." }));
}

/** What is known of a file. @param {Media} media */
function facts({ name, size, width, height, seconds, from, type, uploading }) {
  const known = [
    name,
    width && height ? `${width} × ${height}` : "",
    seconds ? `${Math.round(seconds * 10) / 10} s` : "",
    size && !from ? fileSize(size) : "",
    from ? `converted from ${short(from)} to ${short(type)}` : "",
  ].filter(Boolean);
  const plan = uploading && name && /^image|^$/.test(type ?? "") && !KEPT.test(name) ? " The gateway makes a JPEG or PNG of its first picture." : "";
  return `${uploading ? "Uploading " : ""}${known.join(", ")}${uploading ? " …" : ""}${plan}`;
}

/** @param {string | undefined} type */
const short = (type) => (type ?? "").replace("image/", "").toUpperCase();

/**
 * One file. `onChange` gets a new value, or a function from the value before.
 * @param {{label: string, kind: string, value: Media | undefined, onChange: (value: any) => void, fault?: string, note?: any, id?: string,
 *   required?: boolean, compact?: boolean, onRemove?: () => void, pastes?: boolean, sample?: () => Promise<File>}} props
 */
export function MediaField({ label, kind, value, onChange, fault, note, id, required, compact = false, onRemove, pastes = false, sample }) {
  const own = useId();
  const name = id ?? own;
  const [over, setOver] = useState(false);
  const about = KINDS[kind];
  const file = (/** @type {FileList | null | undefined} */ files) => files?.[0] && take(files[0], onChange, kind);
  usePaste(pastes && kind === "image", (pasted) => take(pasted, onChange));

  /** @param {DragEvent} event */
  const drag = (event) => {
    event.preventDefault();
    setOver(event.type === "dragover");
    if (event.type === "drop") file(event.dataTransfer?.files);
  };
  const empty = !value?.url && !value?.uploading;
  const described = `${name}-facts`;
  return html`<fieldset class="field media ${compact ? "compact" : ""}" aria-describedby=${described}>
    <legend>${label}${required && html`<span class="needed" aria-hidden="true"> ·</span>`}</legend>
    <div class="drop ${over ? "over" : ""} ${empty ? "" : "full"}" onDragOver=${drag} onDragLeave=${drag} onDrop=${drag}>
      ${empty
        ? html`<label class="choose" for="${name}-file"><${Icon} name=${about.icon} size=${compact ? 20 : 26} />
            <span><b>Choose ${about.word}</b>${!compact && ", drop or paste it here"}</span></label>`
        : html`<${Preview} media=${value} kind=${kind} label=${label} />`}
      <input class="file" id="${name}-file" type="file" accept=${about.accept} aria-invalid=${fault ? "true" : undefined}
        aria-label=${empty ? undefined : `Choose another for ${label}`} onChange=${(/** @type {any} */ event) => (file(event.target.files), (event.target.value = ""))} />
    </div>
    <p class="note" id=${described} role="status">${value && !value.fault ? facts(value) : ""}</p>
    ${(fault || value?.fault) && html`<p class="fault" role="alert">${value?.fault ?? fault}</p>`}
    ${note && html`<p class="note">${note}</p>`}
    <div class="media-tools">
      <input type="url" id=${name} inputmode="url" autocomplete="off" spellcheck=${false} placeholder="or its address: https://…" aria-label="Address of ${label}"
        value=${value?.name ? "" : (value?.url ?? "")} onInput=${(/** @type {any} */ event) => onChange(event.target.value.trim() ? { url: event.target.value.trim() } : undefined)} />
      ${empty && sample && html`<${Button} kind="quiet" icon=${about.icon} label="A sample for ${label}" onPress=${() => takeComing(sample(), onChange)}>${!compact && "Sample"}</${Button}>`}
      ${kind === "image" && html`<${Camera} label=${label} onFile=${(/** @type {File} */ shot) => take(shot, onChange)} />`}
      ${(!empty || onRemove) && html`<${Button} kind="quiet" icon="trash" label="Remove ${label}" onPress=${() => (onRemove ? onRemove() : onChange(undefined))} />`}
    </div>
  </fieldset>`;
}

/** @param {{media: Media | undefined, kind: string, label: string}} props */
function Preview({ media, kind, label }) {
  const [broken, setBroken] = useState(/** @type {string[]} */ ([]));
  // Few browsers show HEIC: what the gateway made of it is shown instead.
  const shown = [media?.preview, webAddress(media?.url ?? "")].find((one) => one && !broken.includes(one));
  const fail = () => shown && setBroken([...broken, shown]);
  return html`<div class="preview">
    ${shown && kind === "image" && html`<img src=${shown} alt="The chosen ${label.toLowerCase()}" onError=${fail} />`}
    ${shown && kind === "video" && html`<video src=${shown} muted loop playsinline preload="metadata" onError=${fail}></video>`}
    ${(!shown || kind === "audio") && html`<span class="unshown"><${Icon} name=${KINDS[kind].icon} size=${26} /></span>`}
    ${media?.uploading && html`<span class="over-preview"><${Spinner} label="Uploading" /></span>`}
  </div>`;
}

/** The camera, where a finger is likely: elsewhere the file dialog is better. @param {{label: string, onFile: (file: File) => void}} props */
function Camera({ label, onFile }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  if (!matchMedia("(pointer: coarse)").matches) return null;
  return html`<${Button} kind="quiet" icon="camera" label="Take a photograph for ${label}" onPress=${() => input.current?.click()} />
    <input ref=${input} type="file" accept="image/*" capture="environment" hidden tabindex="-1"
      onChange=${(/** @type {any} */ event) => (event.target.files[0] && onFile(event.target.files[0]), (event.target.value = ""))} />`;
}

/** Takes pictures that are pasted anywhere on the page. @param {boolean} active @param {(file: File) => void} onFile */
function usePaste(active, onFile) {
  const latest = useRef(onFile);
  latest.current = onFile;
  useEffect(() => {
    if (!active) return undefined;
    const paste = (/** @type {ClipboardEvent} */ event) => {
      const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
      if (!file) return;
      event.preventDefault();
      latest.current(file);
    };
    addEventListener("paste", paste);
    return () => removeEventListener("paste", paste);
  }, [active]);
}

/**
 * Several files of one kind.
 * @param {{label: string, kind: string, value: Media[] | undefined, most: number, onChange: (value: any) => void, fault?: string, note?: any,
 *   id?: string, required?: boolean, pastes?: boolean, sample?: () => Promise<File>}} props
 */
export function MediaList({ label, kind, value, most, onChange, fault, note, id, required, pastes = false, sample }) {
  const own = useId();
  const given = (value ?? []).filter(Boolean);
  const rows = given.length < most ? [...given, undefined] : given;
  const put = (/** @type {number} */ at) => (/** @type {any} */ next) =>
    onChange((/** @type {Media[] | undefined} */ now) => {
      const list = (now ?? []).filter(Boolean);
      const changed = typeof next === "function" ? next(list[at]) : next;
      if (changed) list[at] = changed;
      else list.splice(at, 1);
      return list;
    });
  return html`<div class="field" role="group" aria-label=${label}>
    <div class="field-head"><b class="like-label">${label}${required && html`<span class="needed" aria-hidden="true"> ·</span>`}</b>
      <span class="note numbers">${given.length} of ${most}</span></div>
    <div class="media-grid">
      ${rows.map(
        (media, at) => html`<${MediaField} key=${media?.id ?? `row-${at}`} compact label="${label.replace(/s$/, "")} ${at + 1}" kind=${kind} value=${media}
          id="${id ?? own}-${at}" onChange=${put(at)} pastes=${pastes && at === given.length} sample=${sample} />`,
      )}
    </div>
    ${fault && html`<p class="fault">${fault}</p>`}${note && html`<p class="note">${note}</p>`}
  </div>`;
}
