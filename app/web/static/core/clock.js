// Clocks that run only while something that is shown reads them: a page that shows no time is left alone.

import { serverNow } from "./api.js";
import { signal } from "./html.js";

/** The time, and whoever reads it while being drawn is drawn again after so many milliseconds. @param {number} every @returns {() => number} */
function clockOf(every) {
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;
  const beats = signal(0, {
    watched: () => (timer = setInterval(() => (beats.value += 1), every)),
    unwatched: () => clearInterval(timer),
  });
  return () => {
    void beats.value; // whoever reads it follows it
    return serverNow();
  };
}

/** The time of something that runs. */
export const nowBySeconds = clockOf(1000);

/** The time of something that was: `5 minutes ago`. */
export const nowRoughly = clockOf(20_000);
