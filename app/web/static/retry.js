// Reads with retries until they succeed, and a notice that says why and when.

import { byId, show, sleep } from "./dom.js";

const FIRST_S = 2;
const LONGEST_S = 30;

const REASONS = {
  store_unavailable: "The gateway's store does not answer.",
  upstream_unavailable: "fal does not answer.",
};

/**
 * The result of `read`: temporary failures are retried, others are thrown.
 * Null when the signal fired.
 */
export async function persist(read, signal) {
  let pause = FIRST_S;
  while (!signal.aborted) {
    try {
      const result = await read();
      if (!signal.aborted) clearNotice();
      return result;
    } catch (error) {
      if (signal.aborted) break;
      if (!error.temporary) throw error;
      await countDown(REASONS[error.code] ?? error.message, error.retryAfter ?? pause, signal);
      pause = Math.min(pause * 2, LONGEST_S);
    }
  }
  return null;
}

/** Shows the fault and counts down; ends early when the network returns or the page becomes visible. */
async function countDown(reason, seconds, signal) {
  const early = new AbortController();
  const wake = () => early.abort();
  for (const event of ["online", "focus"]) window.addEventListener(event, wake, { once: true });
  signal.addEventListener("abort", wake, { once: true });
  show(byId("notice-text"), reason);
  byId("notice").hidden = false;
  for (let left = Math.max(1, seconds); left > 0 && !early.signal.aborted; left -= 1) {
    byId("notice-count").textContent = `Retrying in ${left} s.`;
    await sleep(1000, early.signal);
  }
  byId("notice-count").textContent = "Retrying …";
  for (const event of ["online", "focus"]) window.removeEventListener(event, wake);
  signal.removeEventListener("abort", wake);
}

/** Removes the notice. */
export function clearNotice() {
  byId("notice").hidden = true;
  show(byId("notice-text"), "");
}
