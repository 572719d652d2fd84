// Reports of usage: what is asked for, the days of it, and its file.

import { get, serverNow, stream } from "../../core/api.js";
import { dollars, plural } from "../../core/words.js";

const DAY_MS = 86_400_000;
const FILE_NAME = /filename="([^"]+)"/;
const LAST = new Set(["concurrent", "queued"]); // there is room again without anybody's doing

/**
 * @typedef {import("../../core/shapes.js").UsageReport} Report
 * @typedef {import("../../core/shapes.js").UsageRow} Row
 * @typedef {import("../../core/shapes.js").LimitState} LimitState
 * @typedef {{period: string, group: string, team?: string}} Choice `team`: of all teams', that one's
 * @typedef {{day: string, spent: number, held: number, jobs: number, seconds: number}} Day
 * @typedef {{value: string, label: string, title: string, spent: (row: Row) => number, held: (row: Row) => number, words: (amount: number) => string}} Measure
 */

/** `days`: that many, today included; 0 is this month. @type {{value: string, label: string, days: number}[]} */
export const PERIODS = [
  { value: "", label: "This month", days: 0 },
  { value: "7", label: "7 days", days: 7 },
  { value: "30", label: "30 days", days: 30 },
  { value: "90", label: "90 days", days: 90 },
];

/** @param {number} amount */
const money = (amount) => dollars(amount.toFixed(2));
const none = () => 0;

/** What is measured: by the chart, and by the bars of the table. @type {Measure[]} */
export const MEASURES = [
  { value: "", label: "Dollars", title: "Dollars by day", spent: (row) => Number(row.spent_usd), held: (row) => Number(row.held_usd), words: money },
  { value: "jobs", label: "Jobs", title: "Jobs by day", spent: (row) => row.jobs, held: none, words: (amount) => plural(amount, "job") },
  { value: "seconds", label: "Seconds", title: "Seconds of video by day", spent: (row) => row.video_seconds, held: none, words: (amount) => `${amount} s` },
];

/** What usage is grouped by. */
export const GROUPS = [
  { value: "day", label: "Day" },
  { value: "model", label: "Model" },
  { value: "user", label: "User" },
  { value: "key", label: "Key" },
];

/** A date such as `2026-11-30` of a moment in a time zone. @param {number} at_ms @param {string} zone */
export const dateIn = (at_ms, zone) => new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" }).format(at_ms);

/** @param {string} date @param {number} days */
export const later = (date, days) => new Date(Date.parse(date) + days * DAY_MS).toISOString().slice(0, 10);

/** @param {string} root @param {Record<string, string | undefined>} query */
export function addressOf(root, query) {
  const given = Object.entries(query).filter(([, value]) => value);
  return given.length ? `${root}?${new URLSearchParams(/** @type {[string, string][]} */ (given))}` : root;
}

/**
 * The usage by day and by the group chosen, with the address that it was read from. Days are the team's own, whose zone
 * the first report tells.
 * @param {string} root `usage` or `admin/usage` @param {Choice} choice @param {AbortSignal} signal
 */
export async function readUsage(root, { period, group, team }, signal) {
  const days = PERIODS.find(({ value }) => value === period)?.days ?? 0;
  /** @param {string} address @returns {Promise<Report>} */
  const read = (address) => get(address, { signal });
  let from = "";
  if (days) {
    const { time_zone: zone } = await read(addressOf(root, { team }));
    from = later(dateIn(serverNow(), zone ?? "UTC"), 1 - days);
  }
  const address = addressOf(root, { group_by: group, from, team });
  const daily = read(addressOf(root, { group_by: "day", from, team }));
  const [byDay, report] = await Promise.all([daily, group === "day" ? daily : read(address)]);
  return { byDay, report, address };
}

/** Every day of a report by one measure, the empty ones too. @param {Report} report @param {Measure} measure @returns {Day[]} */
export function daysOf({ from, to, time_zone: zone, data }, measure) {
  const dates = data.map(({ day }) => day ?? "").filter(Boolean);
  const first = [dateIn(Date.parse(from), zone ?? "UTC"), ...dates].toSorted()[0];
  const last = [dateIn(Date.parse(to) - 1, zone ?? "UTC"), ...dates].toSorted().at(-1) ?? first;
  /** @type {Map<string, Day>} */
  const days = new Map();
  for (let day = first; day <= last; day = later(day, 1)) days.set(day, { day, spent: 0, held: 0, jobs: 0, seconds: 0 });
  for (const row of data) {
    const day = days.get(row.day ?? "");
    if (!day) continue; // corrections about no job have no day
    day.spent += measure.spent(row);
    day.held += measure.held(row);
    day.jobs += row.jobs;
    day.seconds += row.video_seconds;
  }
  return [...days.values()];
}

/** What limits are ordered by, the most important first. @param {LimitState} limit */
function rank({ unit, window, amount, left }) {
  const [inDollars, rest] = [unit === "usd", Number(left)];
  return [Number(LAST.has(window) || unit === "submits"), Number(rest > 0), Number(!inDollars), inDollars ? rest : rest / Math.max(1, Number(amount))];
}

/** The limits, that which refuses first on top, as `tightest` of the API. @param {LimitState[]} limits */
export function byTightness(limits) {
  return limits.toSorted((one, other) => {
    const [first, second] = [rank(one), rank(other)];
    const at = first.findIndex((value, index) => value !== second[index]);
    return at === -1 ? 0 : first[at] - second[at];
  });
}

/** `30 November`. @param {string} day */
export const dayWords = (day) => new Date(day).toLocaleDateString("en-GB", { day: "numeric", month: "long", timeZone: "UTC" });

/** `30 Nov`. @param {string} day */
export const shortDay = (day) => new Date(day).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });

/** `1 December, 00:00`, in the visitor's own zone. @param {string} iso */
export const momentWords = (iso) => new Date(iso).toLocaleString("en-GB", { day: "numeric", month: "long", hour: "2-digit", minute: "2-digit" });

/** Saves a report as a file of CSV. @param {string} address */
export async function download(address) {
  const response = await stream(address, { headers: { Accept: "text/csv" } });
  const name = FILE_NAME.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? "usage.csv";
  const url = URL.createObjectURL(await response.blob());
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // after the browser has read it
}
