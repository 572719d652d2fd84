// One feed of events for all views: a browser opens six connections to a host, and tabs share them.
//
// `follow((event) => …)` gets `{type, timestamp, sequence, data: job without input}` of every event that the caller may see,
// and `{type: "missed"}` when events may have been missed (after a break, or when the tab was hidden): read again then.
// Events are a team's, so an administrator gets none.

import { Refused, get, stream } from "./api.js";
import { frames } from "./frames.js";
import { persist, sleep } from "./retry.js";
import { isAdministrator, session } from "./session.js";

const RETRY_MS = 3000; // until the server says otherwise
const LONGEST_MS = 30_000;
const BREAK_MS = 1000; // within it the tabs whose connections broke together ask whether the gateway is there
const HIDDEN_MS = 20_000; // a hidden tab gives its connection back

/** @typedef {{type: string, timestamp?: string, sequence?: number, data?: any}} LiveEvent */

/** @type {Set<(event: LiveEvent) => void>} */
const followers = new Set();
/** Those for whom a hidden tab keeps its connection. @type {Set<(event: LiveEvent) => void>} */
const patient = new Set();
/** @type {AbortController | null} */
let running = null;
/** @type {string | null} */
let cursor = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let hiding;

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) rest();
  else start();
});

function rest() {
  clearTimeout(hiding);
  hiding = setTimeout(() => document.hidden && !patient.size && stop(), HIDDEN_MS);
}

session.subscribe(({ state }) => {
  if (state === "in") return start();
  stop();
  cursor = null;
});

/**
 * Follows events until the returned function is called; with `hidden`, also while the tab is hidden.
 * @param {(event: LiveEvent) => void} onEvent @param {{hidden?: boolean}} [options] @returns {() => void}
 */
export function follow(onEvent, { hidden = false } = {}) {
  const mine = (/** @type {LiveEvent} */ event) => onEvent(event);
  followers.add(mine);
  if (hidden) patient.add(mine);
  start();
  return () => {
    followers.delete(mine);
    patient.delete(mine);
    if (!followers.size) stop();
    else if (document.hidden) rest();
  };
}

function start() {
  if (running || !followers.size || (document.hidden && !patient.size)) return;
  if (session.value.state !== "in" || isAdministrator()) return;
  running = new AbortController();
  run(running.signal);
}

function stop() {
  running?.abort();
  running = null;
}

/** @param {LiveEvent} event */
function tell(event) {
  for (const follower of followers) follower(event);
}

/** @param {AbortSignal} ended */
async function run(ended) {
  let pause = RETRY_MS;
  while (!ended.aborted) {
    let broken = true;
    const connection = new AbortController();
    const close = () => connection.abort();
    ended.addEventListener("abort", close);
    try {
      const response = await stream("events", {
        headers: { Accept: "text/event-stream", ...(cursor ? { "Last-Event-ID": cursor } : {}) },
        signal: connection.signal,
      });
      if (!cursor) tell({ type: "missed" }); // also the first time: something may have happened since a view read
      for await (const frame of frames(/** @type {ReadableStream} */ (response.body), close)) {
        pause = frame.retry ?? RETRY_MS;
        if (frame.id) cursor = frame.id;
        if (frame.event === "reset") tell({ type: "missed" });
        else if (frame.data) tell(JSON.parse(frame.data));
      }
    } catch (error) {
      if (ended.aborted) return;
      const status = error instanceof Refused ? error.status : 0;
      if (status === 401 || status === 403) return;
      if (status === 400) cursor = null; // an id that this gateway does not know
      broken = !(error instanceof Refused) || (error.temporary && status !== 429);
      pause = error instanceof Refused && error.retryAfter ? error.retryAfter * 1000 : Math.min(pause * 2, LONGEST_MS);
    } finally {
      ended.removeEventListener("abort", close);
      close();
    }
    if (broken) await findGateway(ended);
    if (ended.aborted) return;
    await sleep(pause * (0.75 + Math.random() / 2), ended);
  }
}

/** After a break: waits until the gateway answers, and says so above the page if it is away. @param {AbortSignal} ended */
async function findGateway(ended) {
  await sleep(Math.random() * BREAK_MS, ended);
  await persist(() => get("me", { signal: ended }), ended).catch(() => {}); // a refusal is an answer
}
