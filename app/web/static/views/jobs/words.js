// What the words of a job's history mean, and what to do about an error.

import { webAddress } from "../../core/words.js";

/** What an error means and what to do next, by its code. @type {Record<string, {means: string, next: string}>} */
const ERRORS = {
  upstream_rejected_input: { means: "fal's model did not take the input: often its content check, or a picture that it cannot read.", next: "Change what fal names below, and make it again." },
  upstream_rejected: { means: "fal did not accept the request. It was not bought.", next: "Tell whoever runs this gateway: the model may be gone at fal, or the account may not use it." },
  upstream_error: { means: "fal took the job and could not finish it.", next: "Make it again: such failures pass." },
  start_timeout: { means: "It waited longer than it was allowed to.", next: "Make it again with more time, or when fewer clips wait." },
  deadline_exceeded: { means: "It was not ready by its deadline, and was cancelled.", next: "Make it again with a later deadline." },
  result_unavailable: { means: "fal finished the clip, and does not hand it over.", next: "Tell whoever runs this gateway: fal's dashboard may have the clip." },
  bad_upstream_result: { means: "fal's result does not have the form that it should have.", next: "Tell whoever runs this gateway: fal's dashboard may have the clip." },
  unknown_outcome: { means: "It stayed unknown what fal had done with it, and an administrator ended it.", next: "Make it again if the clip is still needed." },
  canceled: { means: "Somebody cancelled it.", next: "Make it again if the clip is still needed." },
};

/** More precise words for the types that fal gives to its own errors. @type {Record<string, {means: string, next: string}>} */
const FALS_TYPES = {
  content_policy_violation: { means: "fal's content check refused the prompt or the picture.", next: "Change the words or the picture that it objects to, and make it again." },
  image_load_error: { means: "fal could not read the picture.", next: "Upload the picture here instead of giving its address, or save it anew as JPEG, and make it again." },
  image_too_small: { means: "The picture is too small for this model.", next: "Take a larger picture, and make it again." },
  image_too_large: { means: "The picture is too large for this model.", next: "Take a smaller picture, and make it again." },
  file_download_error: { means: "fal could not fetch a file from its address.", next: "Upload the file here instead of giving its address, and make it again." },
  one_of: { means: "A member of the input has a value that this model does not take.", next: "Choose one of the values that fal names, and make it again." },
};

/** @typedef {{place: string, message: string, type: string, link: string | null}} FalsReason */

/**
 * Why a job failed: our sentence, what it means, fal's own reasons with their links, and what to do next.
 * @param {any} error @returns {{sentence: string, means: string, next: string, reasons: FalsReason[], status: number | null}}
 */
export function whyOf(error) {
  const upstream = error.upstream ?? {};
  const entries = Array.isArray(upstream.entries) ? upstream.entries : [];
  /** @type {FalsReason[]} */
  const reasons = entries.map((/** @type {any} */ { loc, msg, type, url }) => ({
    place: Array.isArray(loc) ? loc.filter((part) => part !== "body").join(" › ") : "",
    message: typeof msg === "string" ? msg : "",
    type: typeof type === "string" ? type : "",
    link: typeof url === "string" ? webAddress(url) : null,
  }));
  if (!reasons.length && typeof upstream.detail === "string" && upstream.detail !== error.message) {
    reasons.push({ place: "", message: upstream.detail, type: upstream.error_type ?? "", link: null });
  }
  const known = reasons.map(({ type }) => FALS_TYPES[type]).find(Boolean) ?? ERRORS[error.code];
  const fallback = error.retryable ? "Make it again: it may succeed now." : "Look at fal's reason, change the input, and make it again.";
  return { sentence: error.message, means: known?.means ?? "", next: known?.next ?? fallback, reasons, status: upstream.status ?? null };
}

/** Why an attempt was refused, or is not known. @type {Record<string, string>} */
const REASONS = {
  upstream_busy: "fal took no more requests at that moment",
  upstream_unauthorized: "fal refuses the gateway's key",
  upstream_forbidden: "fal refuses the gateway's account",
  upstream_rejected: "fal refused the request",
  upstream_unreachable: "fal could not be reached",
  unreadable_answer: "fal's answer could not be read",
  no_answer_in_time: "fal did not answer in time",
  connection_lost: "the connection broke before the answer came",
  worker_lost: "the worker was lost in the middle of the call",
  not_sent: "it was not sent",
};

/** @param {string | null} reason */
export function reasonWords(reason) {
  if (!reason) return "";
  const status = /^http_(\d+)$/.exec(reason)?.[1];
  return status ? `fal answered ${status}` : (REASONS[reason] ?? reason.replaceAll("_", " "));
}

/** @type {Record<string, string>} */
export const OUTCOMES = { sending: "Being sent", accepted: "Accepted", refused: "Refused", unknown: "Not known" };

/** What a movement of money is. @type {Record<string, [string, string]>} */
const ENTRIES = {
  reserve: ["Set aside", "when it was accepted"],
  settle: ["Charged", "for the finished clip"],
  release: ["Given back", "nothing was charged"],
  dispute: ["Kept until fal's bill is known", "fal may have charged it"],
  correction: ["Corrected", "by fal's bill or by an administrator"],
  credit: ["Credited", "by an administrator"],
};

/** @param {any} entry @returns {[string, string]} */
export const entryWords = ({ type, reason }) => {
  const [what, why] = ENTRIES[type] ?? [type, ""];
  return [what, reason || why];
};

/** The states of a delivery. @type {Record<string, [string, string]>} */
export const DELIVERIES = {
  due: ["On its way", "busy"],
  delivered: ["Delivered", "good"],
  dead: ["Given up", "bad"],
};

/** @type {Record<string, string>} */
const AFTER = { retry: "not taken", gone: "the receiver is gone for good", refused: "this address is not allowed" };

/** Why an attempt of a delivery did not arrive; empty when it did. @param {any} attempt */
export const outcomeWords = ({ outcome, error }) => (outcome === "delivered" ? "" : error ? error.replaceAll("_", " ") : (AFTER[outcome] ?? outcome));

/** `2.4 s`, `3 min 5 s`, `1 h 12 min`. @param {number} seconds */
export function lasted(seconds) {
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

/** `14:05:09`, with the day where it is not today. @param {string} iso */
export function clockTime(iso) {
  const at = new Date(iso);
  const today = at.toDateString() === new Date().toDateString();
  return at.toLocaleString("en-GB", today ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" });
}
