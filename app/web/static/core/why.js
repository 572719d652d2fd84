// Why a job failed, what that means, and what to do about it.

import { webAddress } from "./words.js";

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
