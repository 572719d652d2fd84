// The price of exactly what the form says, and why it could not be ordered now.

import { Refused, post } from "../../core/api.js";
import { effect, signal } from "../../core/html.js";
import { follow } from "../../core/live.js";
import { persist, sleep } from "../../core/retry.js";
import { may } from "../../core/session.js";
import { ENDS, amountWords, dollars, limitWords, ownerWords, windowWords } from "../../core/words.js";
import { body, draft, model, order } from "./state.js";

const PAUSE_MS = 350; // between the last keystroke and the question
const AGAIN_MS = 20_000; // lines and limits move
const TOGETHER_MS = 1500; // several ends at once are one question

/** @typedef {{body: string, data: import("../../core/shapes.js").Quote | null, fault: Refused | null}} Quote */

/** Usual seconds from the start at fal to the end, by model. @type {Map<string, number>} */
export const usualRuns = new Map();

/** The answer to the last question; null while none is known for the form. @type {import("../../core/html.js").Signal<Quote | null>} */
export const quote = signal(null);

/** Asks for as long as the playground is shown. @param {AbortSignal} shown */
export function keepQuoting(shown) {
  /** @type {AbortController | null} */
  let asking = null;
  const ask = (/** @type {string} */ wanted, /** @type {number} */ pause) => {
    asking?.abort();
    asking = new AbortController();
    answer(wanted, pause, asking.signal);
  };
  const stop = effect(() => {
    const wanted = body.value;
    if (quote.peek()?.body !== wanted) quote.value = null;
    if (wanted) ask(wanted, PAUSE_MS);
    else asking?.abort();
  });
  const again = () => !document.hidden && body.value && ask(body.value, 0);
  const timer = setInterval(again, AGAIN_MS);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let soon;
  const leave = follow(({ type, data }) => {
    if (type !== "missed" && !ENDS.has(data?.status) && data?.status !== "queued") return;
    clearTimeout(soon);
    soon = setTimeout(again, TOGETHER_MS);
  });
  addEventListener("focus", again);
  shown.addEventListener("abort", () => {
    stop();
    asking?.abort();
    leave();
    clearInterval(timer);
    clearTimeout(soon);
    removeEventListener("focus", again);
  });
}

/** @param {string} wanted @param {number} pause @param {AbortSignal} stop */
async function answer(wanted, pause, stop) {
  await sleep(pause, stop);
  if (stop.aborted) return;
  try {
    const data = await persist(() => post("quotes", JSON.parse(wanted), { signal: stop }), stop);
    if (!data || stop.aborted) return;
    if (data.queue.expected_run_s) usualRuns.set(data.model, data.queue.expected_run_s);
    quote.value = { body: wanted, data, fault: null };
  } catch (error) {
    if (!stop.aborted && error instanceof Refused && error.status !== 401) quote.value = { body: wanted, data: null, fault: error };
  }
}

/** Asks once, now, and waits for the answer: what is pressed is bought at a price that was seen. */
export async function askNow() {
  const wanted = body.value;
  if (wanted && quote.value?.body !== wanted) await answer(wanted, 0, new AbortController().signal);
}

/** The price of all takes as a decimal string. @param {string} usd @param {number} takes */
export function times(usd, takes) {
  const [whole, part = ""] = usd.split(".");
  const micro = (BigInt(whole) * 1_000_000n + BigInt(part.padEnd(6, "0"))) * BigInt(takes);
  const digits = `${micro % 1_000_000n}`.padStart(6, "0").replace(/0{1,4}$/, "");
  return `${micro / 1_000_000n}.${digits}`;
}

/** What a limit counts of these takes. @param {any} limit @param {any} data @param {number} takes */
const needOf = ({ unit }, data, takes) =>
  unit === "usd" ? Number(data.quoted_usd) * takes : unit === "video_seconds" ? data.video_seconds * takes : takes;

/** What is left of a limit after these takes. @param {any} limit @param {any} data @param {number} takes */
export const leftAfter = (limit, data, takes) => Number(limit.left) - needOf(limit, data, takes);

// There is room again under these without anybody's doing.
const PASSING = new Set(["concurrent", "queued"]);
const passes = (/** @type {any} */ { unit, window }) => unit === "submits" || PASSING.has(window);

/**
 * The limit under which the fewest such orders have room, as the rail names the one that ends first; undefined without any.
 * @param {any} data @param {number} takes
 */
export function firstToRefuse(data, takes) {
  const more = (/** @type {any} */ limit) => leftAfter(limit, data, takes) / Math.max(1e-9, needOf(limit, data, takes));
  return data.limits.toSorted((/** @type {any} */ one, /** @type {any} */ other) => Number(passes(one)) - Number(passes(other)) || more(one) - more(other))[0];
}

/**
 * Why nothing can be ordered, as a sentence; "" when it can. It is known before anybody presses.
 * @param {Quote | null} asked
 */
export function blocked(asked) {
  if (!may("jobs:write")) return "This key may look at clips, not make them. Ask for a key with jobs:write.";
  if (model.value && !model.value.priced) return "This model has no price yet, so it cannot be used.";
  if (!asked) return "";
  if (asked.fault) return asked.fault.faults.length ? "" : asked.fault.message;
  if (!asked.data) return "";
  const { queue, limits } = asked.data;
  if (queue.upstream_paused) return `Nothing is bought at present: ${queue.upstream_paused.reason}`;
  const { takes } = draft.value;
  const over = limits.find((/** @type {any} */ limit) => !limit.enough || leftAfter(limit, asked.data, takes) < 0);
  return over ? refusalOf(over, asked.data, takes) : "";
}

/** @param {any} limit @param {any} data @param {number} takes */
function refusalOf(limit, data, takes) {
  const need = limit.unit === "usd" ? dollars(times(data.quoted_usd, takes)) : amountWords(limit.unit, needOf(limit, data, takes));
  const again = limit.resets_at ? ` It begins anew on ${day(limit.resets_at)}.` : "";
  const left = `${amountWords(limit.unit, limit.left)} of ${ownerWords(limit.owner)} ${limitWords(limit)} is left`;
  return `${left}, and this needs ${need}.${again}`;
}

/** @param {string} iso */
const day = (iso) => new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", hour: "2-digit", minute: "2-digit" }).format(new Date(iso));

/** What a limit says after the order: `$0.60 left of your $2.00 a month`. @param {any} limit @param {any} data @param {number} takes */
export function limitAfter(limit, data, takes) {
  const left = leftAfter(limit, data, takes);
  const shown = limit.unit === "usd" ? left.toFixed(6).replace(/0{1,4}$/, "") : left;
  return `Then ${amountWords(limit.unit, shown)} left ${windowWords(limit.window)} of ${ownerWords(limit.owner)} ${limitWords(limit)}.`;
}

/** The sentences about a member that the server refused, by its name. @returns {Record<string, string>} */
export function faultsByMember() {
  const asked = quote.value;
  if (!asked?.fault) return {};
  /** @type {Record<string, string>} */
  const found = {};
  for (const { pointer, message } of asked.fault.faults) {
    const name = pointer.replace(/^\/input/, "").split("/")[1] ?? "";
    found[name] = found[name] ? `${found[name]} ${message}` : message;
  }
  return found;
}

/** What is missing, once somebody has pressed. @type {import("../../core/html.js").Signal<boolean>} */
export const pressed = signal(false);

/** The fault of a member: refused, or missing after a press. @param {string} name */
export function faultOf(name) {
  const missing = pressed.value ? order.value?.missing.find((one) => one.name === name)?.sentence : "";
  return faultsByMember()[name] ?? missing ?? "";
}
