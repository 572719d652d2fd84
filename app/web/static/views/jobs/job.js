// One job as its page shows it: read whole, kept up to date by events while it is open.

import { Refused, get, serverNow } from "../../core/api.js";
import { useEffect, useState } from "../../core/html.js";
import { follow } from "../../core/live.js";
import { persist, whileSeen } from "../../core/retry.js";
import { isAdministrator } from "../../core/session.js";
import { ENDS } from "../../core/words.js";
import { records, takeIn } from "./list.js";

const SOON_MS = 60_000;
const LOOK_MS = 3000; // fal's log lines, the place in line and webhooks are in no event

/**
 * `job`: as the API gives it. `history`: `{states, attempts, entries}`. `deliveries`: null where they may not be seen.
 * @typedef {{job: any, history: any, deliveries: any[] | null}} Whole
 */

/** @param {string} id @param {AbortSignal} signal @returns {Promise<Whole>} */
async function read(id, signal) {
  const name = encodeURIComponent(id);
  if (isAdministrator()) {
    const job = await get(`admin/jobs/${name}`, { signal });
    return { job, history: job, deliveries: job.deliveries };
  }
  const asked = get(`jobs/${name}`, { signal });
  if (!records.has(id)) await asked; // a wrong address is asked for once
  const [job, history, sent] = await Promise.all([
    asked,
    get(`jobs/${name}/history`, { signal }),
    get(`jobs/${name}/deliveries`, { signal }).catch((error) => {
      if (error instanceof Refused && error.status === 403) return null;
      throw error;
    }),
  ]);
  return { job: { user_name: history.user.name, ...job }, history, deliveries: sent?.data ?? null };
}

/** True while it may change at any moment: it has not ended, or a webhook is about to be sent. @param {Whole} whole */
const moves = ({ job, deliveries }) =>
  !ENDS.has(job.status) ||
  Boolean(deliveries?.some(({ status, next_attempt_at: next }) => status === "due" && (!next || Date.parse(next) < serverNow() + SOON_MS)));

/**
 * The job, or why it cannot be shown. `again()` reads it now.
 * @param {string} id @returns {{whole: Whole | null, fault: Error | null, again: () => Promise<void>}}
 */
export function useJob(id) {
  const [state, setState] = useState(/** @type {{whole: Whole | null, fault: Error | null}} */ ({ whole: null, fault: null }));
  const [reader, setReader] = useState(() => async () => {});
  useEffect(() => {
    const shown = new AbortController();
    const { signal } = shown;
    /** @type {Whole | null} */
    let last = null;
    let gone = false;
    const again = async () => {
      try {
        const whole = await persist(() => read(id, signal), signal);
        if (!whole) return;
        last = whole;
        gone = false;
        takeIn(whole.job);
        setState({ whole, fault: null });
      } catch (error) {
        gone = error instanceof Refused && error.status === 404;
        if (!signal.aborted) setState({ whole: last, fault: last ? null : /** @type {Error} */ (error) });
      }
    };
    const look = async () => {
      await again();
      await whileSeen(() => last && moves(last) && again(), LOOK_MS, signal);
    };
    const leave = follow(({ type, data }) => {
      if (gone || (type === "missed" && !last)) return; // it is being read anyway
      if (type === "missed" || data?.id === id || data?.job === id) again();
    });
    signal.addEventListener("abort", leave);
    setReader(() => again);
    look();
    return () => shown.abort();
  }, [id]);
  return { ...state, again: reader };
}
