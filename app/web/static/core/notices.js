// The clips that were ordered in this browser, and the browser's notice when they are done while nobody looks at the page.
// A tab's title tells it too. Nothing is asked of anybody before they say so, and nothing ever makes a sound.

import { Refused, get } from "./api.js";
import { signal } from "./html.js";
import { promptOf } from "./job.js";
import { follow } from "./live.js";
import { persist } from "./retry.js";
import { go } from "./router.js";
import { session } from "./session.js";
import { news } from "./title.js";
import { ENDS, plural } from "./words.js";

const CHOICE = "filmgate.notices"; // `on` or `off`, for this device
const AWAITED = "filmgate.awaited";
const SEEN = "filmgate.seen"; // a lock that every tab has while it is looked at
const KEEPER = "filmgate.keeper"; // a lock: the tab that was hidden last keeps its connection, for all of them
const MOST = 50;
const TOGETHER_MS = 1500; // clips that end together are one notice
const BRIEF = 120;

/** Whether notices can be shown here: not on plain http, and not on Android, where a page has to be installed for it. */
export const able = isSecureContext && "Notification" in globalThis && !/Android/.test(navigator.userAgent);

/** What was chosen on this device: `on`, `off`, or nothing yet. @type {import("./html.js").Signal<string>} */
export const choice = signal(localStorage.getItem(CHOICE) ?? "");

/** True after something was ordered here: the moment to offer notices. @type {import("./html.js").Signal<boolean>} */
export const ordered = signal(false);

/** Whether the browser lets the page show notices: `default` before it was asked. @returns {NotificationPermission} */
export const permission = () => (able ? Notification.permission : "denied");

/**
 * Switches notices on or off for this device; the browser asks the visitor if it has not before. Whether they are as wished.
 * @param {boolean} on
 */
export async function choose(on) {
  const allowed = on && able && (await Notification.requestPermission()) === "granted";
  choice.value = allowed ? "on" : "off";
  localStorage.setItem(CHOICE, choice.value);
  return allowed === on;
}

/** @returns {string[]} */
function awaited() {
  try {
    return JSON.parse(localStorage.getItem(AWAITED) ?? "[]");
  } catch {
    return [];
  }
}

/** @param {string[]} ids */
function keep(ids) {
  localStorage.setItem(AWAITED, JSON.stringify(ids.slice(-MOST)));
  attend();
}

/** Waits for the end of a job that was ordered here. @param {string} id */
export function awaitEnd(id) {
  ordered.value = true;
  keep([...awaited(), id]);
}

/** What has ended since somebody looked. @type {any[]} */
let ended = [];
/** What this tab is to show a notice of. @type {any[]} */
let mine = [];
/** @type {Notification | null} */
let notice = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let telling;

/** @type {(() => void) | null} */
let leave = null;
const nothing = () => {};
let giveBack = nothing;

/** Follows the events while a clip is awaited. */
function attend() {
  const wanted = session.value.state === "in" && session.value.role === "user" && awaited().length > 0;
  if (wanted && !leave) {
    leave = follow(happened);
    if (document.hidden) void stay();
  } else if (!wanted && leave) {
    leave();
    leave = null;
    giveBack();
  }
}

/** Keeps the connection of this hidden tab, until it is looked at, nothing is awaited, or another tab was hidden later. */
async function stay() {
  if (!navigator.locks) return;
  let over = nothing;
  const kept = (/** @type {(value?: unknown) => void} */ done) => {
    over = follow(nothing, { hidden: true });
    giveBack = () => (over(), done());
  };
  await navigator.locks.request(KEEPER, { steal: true }, () => new Promise(kept)).catch(() => over());
}

/** @param {import("./live.js").LiveEvent} event */
function happened({ type, data }) {
  if (type === "missed") for (const id of awaited()) look(id);
  else if (ENDS.has(data?.status) && awaited().includes(data.id)) look(data.id);
}

/** Reads a job that may have ended; one that is not there any more is awaited no longer. @param {string} id */
async function look(id) {
  try {
    const job = await persist(() => get(`jobs/${id}`), new AbortController().signal);
    if (!job || !ENDS.has(job.status)) return;
    const known = job.status === "canceled" || ended.some((one) => one.id === id);
    if (document.hidden && !known) {
      ended.push(job);
      if (await isFirst(id)) mine.push(job);
      telling ??= setTimeout(tell, TOGETHER_MS);
    }
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 404) return;
  }
  keep(awaited().filter((one) => one !== id));
}

/** Whether this is the first of all tabs to tell of a job: a lock that it keeps as long as it is open. @param {string} id @returns {Promise<boolean>} */
const isFirst = (id) =>
  new Promise((resolve) => {
    if (!navigator.locks) return resolve(true);
    return void navigator.locks.request(`filmgate.told ${id}`, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock && new Promise(nothing);
    });
  });

/** `2 clips are ready, 1 failed`. @param {any[]} jobs */
function sentence(jobs) {
  const ready = jobs.filter(({ status }) => status === "succeeded").length;
  const failed = jobs.length - ready;
  const first = ready ? `${plural(ready, "clip")} ${ready === 1 ? "is" : "are"} ready` : "";
  return [first, failed ? `${ready ? failed : plural(failed, "clip")} failed` : ""].filter(Boolean).join(", ");
}

async function tell() {
  telling = undefined;
  if (!ended.length) return;
  news.value = sentence(ended);
  if (!able || !mine.length || choice.value !== "on" || Notification.permission !== "granted") return;
  const looked = (await navigator.locks.query()).held?.some(({ name }) => name === SEEN);
  if (!looked && mine.length) show(mine);
}

/** @param {any[]} jobs */
function show(jobs) {
  const [job] = jobs;
  const one = jobs.length === 1;
  const words = [promptOf(job).slice(0, BRIEF), job.error?.message].filter(Boolean).join("\n");
  notice?.close(); // the new one says that as well
  const made = new Notification(sentence(jobs), {
    body: one ? words : "Press to see them in the list of jobs.",
    tag: `filmgate ${jobs.map(({ id }) => id).toSorted().join(" ")}`, // the same from another tab takes its place
    silent: true,
  });
  made.addEventListener("click", () => {
    globalThis.focus();
    go(one ? `/jobs/${job.id}` : "/jobs");
    made.close();
  });
  notice = made;
}

/** @param {(value?: unknown) => void} done */
const whenHidden = (done) => document.addEventListener("visibilitychange", done, { once: true });

/** Somebody looks: what was told is known. */
function seen() {
  clearTimeout(telling);
  telling = undefined;
  ended = [];
  mine = [];
  news.value = "";
  notice?.close();
  notice = null;
  navigator.locks?.request(SEEN, { mode: "shared" }, () => new Promise(whenHidden)).catch(() => {});
}

/** For the page's whole life. */
export function startNotices() {
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && leave) void stay();
    if (!document.hidden) {
      giveBack();
      seen();
    }
  });
  addEventListener("storage", ({ key }) => {
    if (key === CHOICE) choice.value = localStorage.getItem(CHOICE) ?? "";
    if (key === AWAITED) attend();
  });
  session.subscribe(({ state, reason }) => {
    if (state === "out" && !reason) {
      ordered.value = false;
      localStorage.removeItem(AWAITED); // the next person here awaits other clips
    }
    attend();
  });
  if (!document.hidden) seen();
}
