// Reports of usage: what is asked for, the days of it, and its file.

import { get, serverNow, stream } from "../../core/api.js";

const DAY_MS = 86_400_000;
const FILE_NAME = /filename="([^"]+)"/;
const LAST = new Set(["concurrent", "queued"]); // there is room again without anybody's doing

/**
 * @typedef {import("../../core/shapes.js").UsageReport} Report
 * @typedef {import("../../core/shapes.js").UsageRow} Row
 * @typedef {import("../../core/shapes.js").LimitState} LimitState
 * @typedef {{period: string, group: string}} Choice
 * @typedef {{day: string, spent: number, held: number, jobs: number}} Day
 */

/** `days`: that many, today included; 0 is this month. @type {{value: string, label: string, days: number}[]} */
export const PERIODS = [
  { value: "", label: "This month", days: 0 },
  { value: "7", label: "7 days", days: 7 },
  { value: "30", label: "30 days", days: 30 },
  { value: "90", label: "90 days", days: 90 },
];

/** What usage is grouped by. */
export const GROUPS = [
  { value: "day", label: "Day" },
  { value: "model", label: "Model" },
  { value: "user", label: "User" },
  { value: "key", label: "Key" },
];

/** A date such as `2026-11-30` of a moment in a time zone. @param {number} at_ms @param {string} zone */
const dateIn = (at_ms, zone) => new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" }).format(at_ms);

/** @param {string} date @param {number} days */
const later = (date, days) => new Date(Date.parse(date) + days * DAY_MS).toISOString().slice(0, 10);

/** @param {string} root @param {string} group @param {string} from */
const pathOf = (root, group, from) => `${root}?group_by=${group}${from ? `&from=${from}` : ""}`;

/**
 * The usage by day and by the group chosen, with the address that it was read from. Days are the team's own, whose zone
 * the first report tells.
 * @param {string} root `usage` or `admin/usage` @param {Choice} choice @param {AbortSignal} signal
 */
export async function readUsage(root, { period, group }, signal) {
  const days = PERIODS.find(({ value }) => value === period)?.days ?? 0;
  /** @param {string} address @returns {Promise<Report>} */
  const read = (address) => get(address, { signal });
  let from = "";
  if (days) {
    const { time_zone: zone } = await read(root);
    from = later(dateIn(serverNow(), zone ?? "UTC"), 1 - days);
  }
  const address = pathOf(root, group, from);
  const daily = read(pathOf(root, "day", from));
  const [byDay, report] = await Promise.all([daily, group === "day" ? daily : read(address)]);
  return { byDay, report, address };
}

/** Every day of a report, the empty ones too. @param {Report} report @returns {Day[]} */
export function daysOf({ from, to, time_zone: zone, data }) {
  const dates = data.map(({ day }) => day ?? "").filter(Boolean);
  const first = [dateIn(Date.parse(from), zone ?? "UTC"), ...dates].toSorted()[0];
  const last = [dateIn(Date.parse(to) - 1, zone ?? "UTC"), ...dates].toSorted().at(-1) ?? first;
  /** @type {Map<string, Day>} */
  const days = new Map();
  for (let day = first; day <= last; day = later(day, 1)) days.set(day, { day, spent: 0, held: 0, jobs: 0 });
  for (const row of data) {
    const day = days.get(row.day ?? "");
    if (!day) continue; // corrections about no job have no day
    day.spent += Number(row.spent_usd);
    day.held += Number(row.held_usd);
    day.jobs += row.jobs;
  }
  return [...days.values()];
}

/** What limits are ordered by, the most important first. @param {LimitState} limit */
function rank({ unit, window, amount, left }) {
  const [dollars, rest] = [unit === "usd", Number(left)];
  return [Number(LAST.has(window) || unit === "submits"), Number(rest > 0), Number(!dollars), dollars ? rest : rest / Math.max(1, Number(amount))];
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
