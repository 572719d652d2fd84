// Reads that are repeated until they succeed. The shell shows `outage` above everything.

import { OFFLINE, Refused } from "./api.js";
import { signal } from "./html.js";

const FIRST_S = 2;
const LONGEST_S = 30;

/** @type {Record<string, string>} */
const REASONS = {
  store_unavailable: "The gateway's store does not answer.",
  upstream_unavailable: "fal does not answer.",
};

/** Why reads fail at present and when the next try is, or null. @type {import("./html.js").Signal<{reason: string, seconds: number} | null>} */
export const outage = signal(null);

// Said at once: who looks at a clip that is being made asks for nothing that would fail visibly.
addEventListener("offline", () => (outage.value ??= { reason: OFFLINE, seconds: 0 }));
addEventListener("online", () => outage.value?.reason === OFFLINE && (outage.value = null));

/**
 * The result of `read`: temporary failures are repeated, others are thrown. Null when the signal fired.
 * @template T @param {() => Promise<T>} read @param {AbortSignal} stop @returns {Promise<T | null>}
 */
export async function persist(read, stop) {
  let pause = FIRST_S;
  while (!stop.aborted) {
    try {
      const result = await read();
      if (stop.aborted) break;
      outage.value = null;
      return result;
    } catch (error) {
      if (stop.aborted) break;
      if (!(error instanceof Refused) || !error.temporary) throw error;
      await countDown(REASONS[error.code] ?? error.message, error.retryAfter ?? pause, stop);
      pause = Math.min(pause * 2, LONGEST_S);
    }
  }
  return null;
}

/**
 * Acts again and again, with a pause before each time, until the signal fires; not while nobody looks at the page.
 * @param {() => unknown} act @param {number} every milliseconds @param {AbortSignal} stop
 */
export async function whileSeen(act, every, stop) {
  while (!stop.aborted) {
    await sleep(every, stop);
    if (!stop.aborted && !document.hidden) await act();
  }
}

/** Counts down; ends early when the network returns or the page is looked at. @param {string} reason @param {number} seconds @param {AbortSignal} stop */
async function countDown(reason, seconds, stop) {
  const early = new AbortController();
  const wake = () => early.abort();
  for (const event of ["online", "focus"]) addEventListener(event, wake, { once: true });
  stop.addEventListener("abort", wake, { once: true });
  for (let left = Math.max(1, seconds); left > 0 && !early.signal.aborted; left -= 1) {
    outage.value = { reason, seconds: left };
    await sleep(1000, early.signal);
  }
  outage.value = { reason, seconds: 0 };
  for (const event of ["online", "focus"]) removeEventListener(event, wake);
  stop.removeEventListener("abort", wake);
  if (stop.aborted) outage.value = null;
}

/** Waits; resolves early when the signal fires. @param {number} milliseconds @param {AbortSignal} [stop] @returns {Promise<void>} */
export function sleep(milliseconds, stop) {
  return new Promise((resolve) => {
    if (stop?.aborted) return resolve();
    const timer = setTimeout(done, milliseconds);
    function done() {
      clearTimeout(timer);
      stop?.removeEventListener("abort", done);
      resolve();
    }
    stop?.addEventListener("abort", done);
  });
}
