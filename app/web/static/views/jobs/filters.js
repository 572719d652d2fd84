// The filters of the list: as the address has them, as the API takes them, and whether a job passes them.

import { serverNow } from "../../core/api.js";
import { promptOf } from "../../core/job.js";

const DAY_MS = 86_400_000;
const METADATA = "metadata.";

/**
 * `status` is a choice of STATUSES, `period` one of PERIODS or "" with `from` and `to` (dates, both inclusive).
 * @typedef {{status: string, model: string, user: string, team: string, text: string, period: string, from: string, to: string,
 *   metadata: [string, string] | null}} Filters
 */

/** What one looks for, and the API's states of it. @type {{value: string, label: string, states: string[]}[]} */
export const STATUSES = [
  { value: "", label: "All", states: [] },
  { value: "open", label: "Under way", states: ["queued", "submitting", "running", "finalizing"] },
  { value: "succeeded", label: "Ready", states: ["succeeded"] },
  { value: "failed", label: "Failed", states: ["failed"] },
  { value: "held", label: "Held", states: ["held"] },
  { value: "canceled", label: "Cancelled", states: ["canceled"] },
];

/** @type {{value: string, label: string, days: number}[]} */
export const PERIODS = [
  { value: "", label: "Any time", days: 0 },
  { value: "1d", label: "Last 24 hours", days: 1 },
  { value: "7d", label: "Last 7 days", days: 7 },
  { value: "30d", label: "Last 30 days", days: 30 },
];

/** The filters of an address. @param {URLSearchParams} query @returns {Filters} */
export function filtersOf(query) {
  const pair = [...query].find(([name, value]) => name.startsWith(METADATA) && value);
  const one = (/** @type {string} */ name) => query.get(name) ?? "";
  const choice = (/** @type {string} */ name, /** @type {{value: string}[]} */ choices) =>
    choices.some(({ value }) => value === one(name)) ? one(name) : "";
  return {
    status: choice("status", STATUSES),
    period: choice("period", PERIODS),
    model: one("model"),
    user: one("user"),
    team: one("team"),
    text: one("text").slice(0, 200).trim(),
    from: isDate(one("from")) ? one("from") : "",
    to: isDate(one("to")) ? one("to") : "",
    metadata: pair ? [pair[0].slice(METADATA.length), pair[1]] : null,
  };
}

/** The name in the address of a metadata filter. @param {string} name */
export const metadataName = (name) => METADATA + name;

/** How many filters are set beside the state and the text. @param {Filters} filters */
export const countOf = ({ model, user, team, period, from, to, metadata }) =>
  [model, user, team, period || from || to, metadata].filter(Boolean).length;

/** True when the list is not of all jobs. @param {Filters} filters */
export const isFiltered = (filters) => Boolean(filters.status || filters.text || countOf(filters));

/** @param {string} text */
const isDate = (text) => /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));

/** The times (ms) between which a job was submitted; null where it does not matter. @param {Filters} filters @param {number} now */
function spanOf({ period, from, to }, now) {
  const days = PERIODS.find(({ value }) => value === period)?.days;
  if (days) return { from: now - days * DAY_MS, to: null };
  return { from: from ? midnight(from, 0) : null, to: to ? midnight(to, 1) : null };
}

/** The beginning (ms) of a day as this device has it, so many days later. @param {string} date @param {number} later */
function midnight(date, later) {
  const at = new Date(`${date}T00:00`);
  at.setDate(at.getDate() + later);
  return at.getTime();
}

/**
 * The query of the API. Administrators see no prompts, so they cannot search in them; users see one team.
 * @param {Filters} filters @param {boolean} administrator
 */
export function apiQuery(filters, administrator) {
  const query = new URLSearchParams({ limit: "100" });
  for (const state of statesOf(filters)) query.append("status", state);
  const span = spanOf(filters, serverNow());
  if (span.from !== null) query.set("from", new Date(span.from).toISOString());
  if (span.to !== null) query.set("to", new Date(span.to).toISOString());
  const { model, user, team, text, metadata } = filters;
  const own = administrator ? { team } : { text };
  for (const [name, value] of Object.entries({ model, user, ...own })) if (value) query.set(name, value);
  if (metadata) query.set(metadataName(metadata[0]), metadata[1]);
  return query.toString();
}

/** @param {Filters} filters */
const statesOf = ({ status }) => STATUSES.find(({ value }) => value === status)?.states ?? [];

/** Whether a job belongs into the list. Its text is compared where it is known. @param {any} job @param {Filters} filters */
export function passes(job, filters) {
  const states = statesOf(filters);
  const { model, user, team, text, metadata } = filters;
  const span = spanOf(filters, serverNow());
  const at = Date.parse(job.created_at);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const prompt = job.input ? promptOf(job).toLowerCase() : "";
  return (
    (!states.length || states.includes(job.status)) &&
    (!model || job.model === model) &&
    (!user || job.user === user) &&
    (!team || !job.team || job.team === team) &&
    (!metadata || job.metadata?.[metadata[0]] === metadata[1]) &&
    (span.from === null || at >= span.from) &&
    (span.to === null || at < span.to) &&
    (!words.length || !job.input || words.every((word) => prompt.includes(word)))
  );
}
