// Texts for values of the API.

/** States that are final. */
export const ENDS = new Set(["succeeded", "failed", "canceled"]);

/** @type {Record<string, string>} */
export const STATES = {
  queued: "Waiting",
  submitting: "Being handed over",
  running: "Being made",
  finalizing: "Being fetched",
  held: "Held",
  succeeded: "Ready",
  failed: "Failed",
  canceled: "Cancelled",
};

const HELD =
  "The order was sent to fal, but the answer got lost, so nobody knows yet whether the clip is being made. " +
  "It is not ordered a second time, because it could then be paid twice. " +
  "The money stays set aside until fal tells, or until an administrator decides.";

/** @type {Record<string, string>} */
const CANCEL = {
  queued: "It has not been ordered yet: cancelling costs nothing.",
  held: "Whether it was ordered is not known. The wish is written down; the money stays set aside until that is cleared up.",
};
const CANCEL_RUNNING = "It is already ordered. fal is asked to stop, but the clip may still be finished, and paid for.";

/** The effect of a cancel in this state. @param {string} status */
export const cancelWarning = (status) => CANCEL[status] ?? CANCEL_RUNNING;

/** `$1.40` of the API's decimal string. @param {string} amount */
export const dollars = (amount) => (amount.startsWith("-") ? `−$${amount.slice(1)}` : `$${amount}`);

/** @param {number} count @param {string} word */
export const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

/** `about 3 minutes`. @param {number} seconds */
export function roughly(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  return `about ${plural(Math.round(seconds / 60), "minute")}`;
}

/** `1:05`, a time that runs. @param {number} seconds */
export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${`${whole % 60}`.padStart(2, "0")}`;
}

/** `3 minutes ago`, `in 2 hours`. @param {string} iso @param {number} [now] */
export function ago(iso, now = Date.now()) {
  const seconds = Math.round((new Date(iso).getTime() - now) / 1000);
  const format = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  /** @type {[Intl.RelativeTimeFormatUnit, number][]} */
  const units = [["day", 86_400], ["hour", 3600], ["minute", 60]];
  for (const [unit, size] of units) {
    if (Math.abs(seconds) >= size) return format.format(Math.trunc(seconds / size), unit);
  }
  return seconds > 5 ? `in ${seconds} s` : "just now";
}

/** @param {string} iso */
const dayWords = (iso) => new Date(iso).toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });

/** `1 November 2026 to 30 November 2026`: `to` itself is no part of it. @param {{from: string | null, to: string | null}} span */
export function spanWords({ from, to }) {
  if (!from || !to) return "";
  const [first, last] = [dayWords(from), dayWords(new Date(Date.parse(to) - 1).toISOString())];
  return first === last ? first : `${first} to ${last}`;
}

/** `640 kB`. @param {number} bytes */
export function fileSize(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  if (bytes < 1_000_000) return `${Math.round(bytes / 1000)} kB`;
  if (bytes < 1_000_000_000) return `${(bytes / 1_000_000).toFixed(1)} MB`;
  return `${(bytes / 1_000_000_000).toFixed(1)} GB`;
}

/** @type {Record<string, string>} */
const WINDOWS = { minute: "a minute", hour: "an hour", day: "a day", week: "a week", month: "a month", total: "in all", concurrent: "at once", queued: "waiting" };
/** @type {Record<string, string>} */
const LEFT_IN = { minute: "this minute", hour: "this hour", day: "today", week: "this week", month: "this month", total: "in all", concurrent: "at once", queued: "waiting" };
/** One and many. @type {Record<string, [string, string]>} */
const UNITS = { jobs: ["clip", "clips"], video_seconds: ["second of video", "seconds of video"], submits: ["order", "orders"] };

/** An amount with its unit: `$2.00`, `3 clips`. @param {string} unit @param {string | number} amount */
export const amountWords = (unit, amount) =>
  unit === "usd" ? dollars(`${amount}`) : `${amount} ${UNITS[unit]?.[Number(amount) === 1 ? 0 : 1] ?? unit}`;

/** `$2.00 a month`. @param {{unit: string, window: string, amount: string | number}} limit */
export const limitWords = ({ unit, window, amount }) => `${amountWords(unit, amount)} ${WINDOWS[window] ?? window}`;

/** `this month`. @param {string} window */
export const windowWords = (window) => LEFT_IN[window] ?? window;

/** What is used of a limit: `$3.00 used, $1.40 set aside`; of one on present jobs how many there are. @param {{unit: string, window: string, used: string | number, held: string | number}} limit */
export function usedWords({ unit, window, used, held }) {
  if (window === "concurrent") return `${amountWords(unit, held)} under way`;
  if (window === "queued") return `${amountWords(unit, held)} waiting`;
  return `${amountWords(unit, used)} used, ${amountWords(unit, held)} set aside`;
}

/** Whose limit: `your`, `the team's`, `the gateway's`. @param {string} owner */
export function ownerWords(owner) {
  const kind = owner.replace(/[:_].*/, "");
  /** @type {Record<string, string>} */
  const words = { user: "your", team: "the team's", gateway: "the gateway's", token: "this link's", key: "this key's" };
  return words[kind] ?? `the ${kind}'s`;
}

/** The share of a limit that is used or set aside, 0 to 1. @param {{amount: string | number, left: string | number}} limit */
export function share({ amount, left }) {
  const whole = Number(amount);
  return whole > 0 ? Math.min(1, Math.max(0, 1 - Number(left) / whole)) : 1;
}

/** A sentence below a job's state, or empty. @param {any} job */
export function explain(job) {
  if (job.status === "held") return job.cancel_requested_at ? `${HELD} Cancelling was asked for, and is done as soon as that is known.` : HELD;
  if (!ENDS.has(job.status) && job.cancel_requested_at) return "Cancelling was asked for; fal decides whether it still can.";
  if (job.status === "queued" && job.upstream_paused) return `Nothing is bought at present: ${job.upstream_paused.reason}`;
  if (job.status === "queued" && typeof job.queue_position === "number") {
    return job.queue_position === 0 ? "Next in line." : `${plural(job.queue_position, "clip")} before it.`;
  }
  return "";
}

/** The cost, quoted or charged. @param {any} job */
export function cost(job) {
  if (job.charged_usd !== null) return Number(job.charged_usd) === 0 ? "not charged" : `${dollars(job.charged_usd)} charged`;
  return ENDS.has(job.status) ? `${dollars(job.quoted_usd)} set aside until fal's bill is known` : `${dollars(job.quoted_usd)} set aside`;
}

/** The URL if it is http or https, else null: `javascript:` never becomes a link. @param {string} text */
export function webAddress(text) {
  try {
    const url = new URL(text);
    // A kept clip is here, also where this page is open under another name than FILMGATE_PUBLIC_URL.
    if (url.pathname.startsWith("/v1/clips/")) return url.pathname + url.search;
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

/** Members that have a better name than the schema's. @type {Record<string, string>} */
const MEMBERS = {
  prompt: "Prompt",
  image_url: "Picture",
  start_image_url: "First frame",
  end_image_url: "Last frame",
  tail_image_url: "Last frame",
  image_urls: "Pictures",
  input_image_urls: "Pictures",
  video_url: "Video",
  audio_url: "Sound",
  duration: "Length",
  cfg_scale: "Prompt strength",
  generate_audio: "Make sound too",
  aspect_ratio: "Format",
  multi_prompt: "Storyboard",
  static_mask_url: "What stands still",
  dynamic_mask_url: "What moves",
  mask_url: "Mask",
  frontal_image_url: "From the front",
  reference_image_urls: "From other sides",
  voice_ids: "Voices",
};

/** A member of an input as a label, alike in the form and everywhere else: `Length`, `Negative prompt`. @param {string} name */
export function label(name) {
  if (Object.hasOwn(MEMBERS, name)) return MEMBERS[name] ?? "";
  const words = name.replaceAll("_", " ").replace(/ (url|urls)$/, "").replace(/ ids$/, "s").replace(/ id$/, "");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
