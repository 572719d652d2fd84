// Texts for values of the API.

export const ENDS = new Set(["succeeded", "failed", "canceled"]);

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

const CANCEL = {
  queued: "It has not been ordered yet: cancelling costs nothing.",
  held: "Whether it was ordered is not known. The wish is written down; the money stays set aside until that is cleared up.",
};
const CANCEL_RUNNING = "It is already ordered. fal is asked to stop, but the clip may still be finished, and paid for.";

/** The effect of a cancel in this state. */
export const cancelWarning = (status) => CANCEL[status] ?? CANCEL_RUNNING;

/** `$1.40` of the API's decimal string. */
export const dollars = (amount) => `$${amount}`;

/** A sentence below the state, or empty. */
export function explain(job) {
  if (job.status === "held") return HELD;
  if (!ENDS.has(job.status) && job.cancel_requested_at) return "Cancelling was asked for; fal decides whether it still can.";
  if (job.status === "queued" && job.queue_position !== null && job.queue_position !== undefined) {
    return job.queue_position === 0 ? "Next in line." : `${plural(job.queue_position, "clip")} before it.`;
  }
  if (job.status === "failed" && job.error) {
    return job.error.message + (job.error.retryable ? " A new try may succeed." : "");
  }
  return "";
}

/** The cost, quoted or charged. */
export function cost(job) {
  if (job.charged_usd !== null) return Number(job.charged_usd) === 0 ? "not charged" : `${dollars(job.charged_usd)} charged`;
  return ENDS.has(job.status) ? `${dollars(job.quoted_usd)} set aside until fal's bill is known` : `${dollars(job.quoted_usd)} set aside`;
}

/** A model's name, such as `Kling 2.0 Master image to video`; its id until the models are loaded. */
export function modelTitle(models, id) {
  return models.find((model) => model.id === id)?.title ?? id;
}

/** A model in the list, with what to know before using it. */
export function optionWords({ title, marks }) {
  const words = { price_unknown: "no price yet", unverified: "in part unverified", unlisted: "not in fal's list", deprecated: "deprecated" };
  const known = marks.map((mark) => words[mark]).filter(Boolean);
  return known.length ? `${title} (${known.join(", ")})` : title;
}

/** A model's list price; a clip's cost is its quote. */
export function priceWords({ priced, price }) {
  if (!priced) return "This model has no price yet, so it cannot be used.";
  const part = price.variants?.at(-1) ?? price;
  if (part.flat_usd) return `${dollars(part.flat_usd)} each.`;
  const counted = { input: " of the given video", input_and_output: " of the given and the made video" }[part.of] ?? "";
  if (part.per_second_usd) return `${dollars(part.per_second_usd)} a second${counted}${price.variants ? ", depending on the settings" : ""}.`;
  return `${dollars(part.first_usd)} for ${part.first_seconds} seconds, ${dollars(part.each_further_second_usd)} for each further one.`;
}

/** `3 minutes ago`, in the visitor's language. */
export function ago(iso, now = Date.now()) {
  const seconds = Math.round((new Date(iso).getTime() - now) / 1000);
  const format = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  for (const [unit, size] of [["day", 86_400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return format.format(Math.trunc(seconds / size), unit);
  }
  return "just now";
}

/** `about 3 minutes`. */
export function roughly(seconds) {
  return seconds < 60 ? `${seconds} s` : `about ${plural(Math.round(seconds / 60), "minute")}`;
}

export const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
