// The jobs of the list: pages as they are needed, and changes as they happen.

import { get } from "../../core/api.js";
import { effect, signal } from "../../core/html.js";
import { follow } from "../../core/live.js";
import { persist, sleep, whileSeen } from "../../core/retry.js";
import { isAdministrator, session } from "../../core/session.js";
import { ENDS } from "../../core/words.js";
import { apiQuery, passes } from "./filters.js";

const BURST_MS = 250; // events that come together are one read
const LOOK_MS = 10_000; // an administrator has no feed of every team's events
const CATCH_UP = 5; // pages that are read again after a gap; older ones are read anew

/**
 * `ids`: newest first. `scanned`: how many jobs were looked at. `waiting`: jobs that came while one was reading further down.
 * @typedef {{key: string, ids: string[], cursor: string | null, whole: boolean, scanned: number, busy: boolean, fault: string, waiting: any[]}} List
 */

/** @type {List} */
const EMPTY = { key: "-", ids: [], cursor: null, whole: false, scanned: 0, busy: false, fault: "", waiting: [] };

/** What the list shows. It is kept while one looks at a job, so that Back finds the same place. @type {{value: List}} */
export const list = signal(EMPTY);

/** Every job of the list, by id. @type {Map<string, any>} */
export const records = new Map();

/** @type {import("./filters.js").Filters} */
let filters;
let query = "";

effect(() => {
  if (session.value.state === "in") return;
  records.clear();
  list.value = EMPTY;
});

const path = () => (isAdministrator() ? "admin/jobs" : "jobs");

/** @param {Partial<List>} changes */
const change = (changes) => (list.value = { ...list.value, ...changes });

/**
 * Shows the jobs of these filters, until `shown` fires. `key` names them: the same list as before is kept and brought up to date.
 * @param {string} key @param {import("./filters.js").Filters} wanted @param {AbortSignal} shown
 */
export function keepList(key, wanted, shown) {
  const kept = list.value.key === key && list.value.ids.length > 0;
  filters = wanted;
  if (!kept) startAnew(key, shown);
  else {
    change({ busy: false });
    catchUp(shown);
  }
  let due = false;
  const soon = async () => {
    if (due) return;
    due = true;
    await sleep(BURST_MS, shown);
    due = false;
    if (!shown.aborted) await readHead(shown);
  };
  shown.addEventListener("abort", follow(({ type, data }) => {
    if (type === "missed") return void catchUp(shown);
    if (!type.startsWith("job.") || !data) return undefined;
    if (!records.has(data.id)) return passes(data, filters) ? void soon() : undefined;
    return takeIn(data);
  }));
  if (isAdministrator()) void whileSeen(() => readHead(shown), LOOK_MS, shown);
}

/** @param {string} key @param {AbortSignal} shown */
function startAnew(key, shown) {
  records.clear();
  query = apiQuery(filters, isAdministrator());
  list.value = { ...EMPTY, key };
  more(shown);
}

/** Reads on: the next page of the list, if there is one and none is being read. @param {AbortSignal} shown */
export async function more(shown) {
  const { key, cursor, whole, busy } = list.value;
  if (whole || busy || shown.aborted) return;
  change({ busy: true, fault: "" });
  try {
    const page = await readPage(cursor, shown);
    if (!page || list.value.key !== key) return;
    const fresh = page.data.filter((/** @type {any} */ job) => !records.has(job.id));
    for (const job of page.data) records.set(job.id, job);
    change({
      ids: [...list.value.ids, ...fresh.map((/** @type {any} */ { id }) => id)],
      cursor: page.next_cursor,
      whole: !page.has_more,
      scanned: list.value.scanned + (page.scanned ?? page.data.length),
    });
  } catch (error) {
    if (!shown.aborted && list.value.key === key) change({ fault: /** @type {Error} */ (error).message });
  } finally {
    if (!shown.aborted && list.value.key === key) change({ busy: false });
  }
}

/** @param {string | null} cursor @param {AbortSignal} shown @returns {Promise<any>} */
const readPage = (cursor, shown) =>
  persist(() => get(`${path()}?${query}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`, { signal: shown }), shown);

/** Takes a job's newer state into its row. An end is final; an event has no input. @param {any} job */
export function takeIn(job) {
  const known = records.get(job.id);
  if (!known || (ENDS.has(known.status) && !ENDS.has(job.status))) return;
  const whole = { ...known, ...job };
  records.set(job.id, whole);
  if (passes(whole, filters)) change({});
  else change({ ids: list.value.ids.filter((id) => id !== job.id) });
}

/** Reads the newest jobs: those that are new come on top, or wait while one reads further down. @param {AbortSignal} shown */
async function readHead(shown) {
  const { key } = list.value;
  const page = await readPage(null, shown).catch(() => null);
  if (!page || list.value.key !== key) return;
  const fresh = page.data.filter((/** @type {any} */ job) => !records.has(job.id));
  if (page.has_more && fresh.length === page.data.length && list.value.ids.length) return startAnew(key, shown);
  for (const job of page.data) if (records.has(job.id)) takeIn(job);
  for (const job of fresh) records.set(job.id, job);
  if (fresh.length) change({ waiting: [...fresh, ...list.value.waiting] });
  if (scrollY < innerHeight / 2) showWaiting();
}

/** Puts the jobs that came meanwhile on top. */
export function showWaiting() {
  const { ids, waiting } = list.value;
  if (waiting.length) change({ ids: [...waiting.map(({ id }) => id), ...ids], waiting: [] });
}

/** After a gap in the events: reads the first pages again. What is older has most likely ended. @param {AbortSignal} shown */
async function catchUp(shown) {
  const { key, ids } = list.value;
  /** @type {any[]} */
  const found = [];
  /** @type {string | null} */
  let cursor = null;
  for (let read = 0; read < CATCH_UP; read += 1) {
    /** @type {any} */
    const page = await readPage(cursor, shown).catch(() => null);
    if (!page || list.value.key !== key) return;
    found.push(...page.data);
    cursor = page.next_cursor;
    if (!page.has_more || found.length >= ids.length) break;
  }
  if (!found.length) return void (ids.length && startAnew(key, shown));
  for (const job of found) records.set(job.id, job);
  const last = found.at(-1).created_at;
  const older = list.value.ids.filter((id) => records.get(id).created_at < last);
  change({ ids: [...found.map(({ id }) => id), ...older], waiting: [], ...(older.length ? {} : { cursor, whole: cursor === null }) });
}
