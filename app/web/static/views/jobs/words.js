// What the words of a job's history mean.

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
  dispute: ["Set aside until fal's bill is known", "fal may have charged it"],
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
const AFTER = { retry: "not taken", gone: "the receiver does not want it", refused: "this address is not allowed" };

/** @type {Record<string, string>} */
const ERRORS = {
  timeout: "timed out",
  connect: "no connection",
  tls: "no secure connection",
  forbidden_target: "this address is not allowed",
  redirect: "redirects are not followed",
  too_large: "the answer is too large",
  protocol: "nothing that can be read",
  worker_died: "its sender ended in the middle, twice",
};

/** Why an attempt of a delivery did not arrive; empty when it did. @param {any} attempt */
export const outcomeWords = ({ outcome, error }) => (outcome === "delivered" ? "" : error ? (ERRORS[error] ?? error.replaceAll("_", " ")) : (AFTER[outcome] ?? outcome));

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
