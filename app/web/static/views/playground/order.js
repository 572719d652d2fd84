// Ordering: one submission for each take, each with a key of its own, until all of them are answered.

import { Refused, post } from "../../core/api.js";
import { answered, attemptFor, newIdempotencyKey, noted } from "../../core/attempts.js";
import { signal } from "../../core/html.js";
import { awaitEnd } from "../../core/notices.js";
import { refreshMe } from "../../core/session.js";
import { askNow, quote } from "./quote.js";
import { body, draft, onStage, takeJob } from "./state.js";

const NARROW = "(max-width: 60rem)"; // as in playground.css
const CALM_MS = 1200; // the second press of a double click orders nothing

/** @typedef {{busy: boolean, fault: string}} Ordering */

/** @type {import("../../core/html.js").Signal<Ordering>} */
export const ordering = signal({ busy: false, fault: "" });

/**
 * Orders what the form says, at the price that is shown at most. After a lost answer the same press sends the same keys:
 * nothing is bought twice. A press before the price is known shows the price only.
 */
export async function submit() {
  if (ordering.value.busy || !body.value) return;
  const wanted = body.value;
  const known = quote.value?.body === wanted && quote.value.data;
  ordering.value = { busy: true, fault: "" };
  try {
    if (!known) await askNow();
    else await orderAll(wanted, draft.value.takes, known.quoted_usd);
    ordering.value = { busy: Boolean(known), fault: "" };
    if (known) setTimeout(() => (ordering.value = { ...ordering.value, busy: false }), CALM_MS);
  } catch (error) {
    ordering.value = { busy: false, fault: sentence(/** @type {any} */ (error)) };
  }
}

/** @param {string} wanted @param {number} takes @param {string} usd */
async function orderAll(wanted, takes, usd) {
  const wish = `${takes} × ${wanted}`;
  const attempt = attemptFor(wish, () => ({ max_usd: usd, keys: Array.from({ length: takes }, newIdempotencyKey), made: /** @type {string[]} */ ([]) }));
  try {
    for (const key of attempt.keys.slice(attempt.made.length)) {
      const job = await post("jobs", { ...JSON.parse(wanted), max_usd: attempt.max_usd }, { headers: { "Idempotency-Key": key } });
      takeJob(job);
      awaitEnd(job.id);
      attempt.made.push(job.id);
      noted();
      onStage.value = [...attempt.made];
      if (attempt.made.length === 1) showStage();
    }
    answered(wish);
  } catch (error) {
    // A definite refusal: the next press is a new wish. Otherwise the outcome is unknown.
    if (error instanceof Refused && !error.temporary) answered(wish);
    throw error;
  } finally {
    refreshMe().catch(() => {});
  }
}

/** Where the form fills the screen, what was ordered comes into sight. */
function showStage() {
  if (matchMedia(NARROW).matches) requestAnimationFrame(() => document.querySelector(".stage")?.scrollIntoView({ block: "start" }));
}

/** @param {any} error */
function sentence(error) {
  if (!(error instanceof Refused)) return "The page could not send the order. Load it again.";
  if (error.status === 401) return "";
  const parts = error.faults.map(({ pointer, message }) => `${pointer.split("/").at(-1)?.replaceAll("_", " ")}: ${message}`);
  const again = error.retryAfter ? `Press again in ${error.retryAfter} s` : "Press again";
  return (parts.length ? parts.join(" ") : error.message) + (error.temporary ? ` ${again}: the same order is never made twice.` : "");
}
