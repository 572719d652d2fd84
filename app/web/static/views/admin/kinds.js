// Which limits there are, and what they mean.

import { limitWords } from "../../core/words.js";

/** A limit as a form has it. @typedef {{unit: string, window: string, amount: string}} Row */
/** A limit as it was set: until `raised_until`, `raised_to` holds in its place. @typedef {{unit: string, window: string, amount: string | number, raised_to?: string | number, raised_until?: string | null}} Rule */
/** A limit with its present state; `rule` is what was set. @typedef {{unit: string, window: string, amount: string | number, used: string | number, held: string | number, left: string | number, resets_at: string | null, rule?: Rule}} Present */

export const UNITS = [
  { value: "usd", label: "US dollars" },
  { value: "jobs", label: "Clips" },
  { value: "video_seconds", label: "Seconds of video" },
  { value: "submits", label: "Orders (a pace)" },
];

const COUNTED = ["minute", "hour", "day", "week", "month", "total"];
/** @type {Record<string, string>} */
const WINDOWS = { minute: "a minute", hour: "an hour", day: "a day", week: "a week", month: "a month", total: "in all, for ever", concurrent: "under way at once", queued: "waiting in line" };
/** @type {Record<string, string[]>} */
const OF_UNIT = { usd: COUNTED, video_seconds: COUNTED, jobs: [...COUNTED, "concurrent", "queued"], submits: ["minute", "hour"] };

/** The windows that go with a unit. @param {string} unit */
export const windowsOf = (unit) => (OF_UNIT[unit] ?? COUNTED).map((value) => ({ value, label: WINDOWS[value] }));

const TEAMS_ZONE = "the team's time zone";
/** @type {Record<string, (zone: string) => string>} */
const MEANS = {
  minute: () => "It begins anew each minute.",
  hour: () => "It begins anew each hour.",
  day: (zone) => `It begins anew at midnight, in ${zone}.`,
  week: (zone) => `It begins anew on Monday, in ${zone}.`,
  month: (zone) => `It begins anew on the first of the month, in ${zone}.`,
  total: () => "It never begins anew: what is used stays used.",
  concurrent: () => "More are refused until one of these ends.",
  queued: () => "More are refused until the line is shorter.",
};

/** A limit in a sentence: `$50 a month. It begins anew on the first …`. @param {Row} row @param {string} [zone] */
export function meaning(row, zone = TEAMS_ZONE) {
  if (!row.amount.trim()) return "Give an amount, or take this limit away.";
  if (!/^\$?\d*\.?\d+$/.test(row.amount.trim())) return "Write the amount as a number, such as 50 or 12.50.";
  if (row.unit === "submits") return `${limitWords(row)} at an even pace; faster ones are refused for a moment.`;
  return `${limitWords(row)}. ${MEANS[row.window](zone)}`;
}

/** What the API takes: dollars as text, counts as numbers. A count that is none is sent as it is, for the API to explain. @param {Row} row */
export function limitOf({ unit, window, amount }) {
  const text = amount.trim().replace(/^\$/, "");
  return { unit, window, amount: unit !== "usd" && /^\d+$/.test(text) ? Number(text) : text };
}

/** @param {Row[]} rows */
export const bodyOf = (rows) => rows.map(limitOf);

/** States of limits, each with what was set. @param {Present[]} states @param {Rule[]} rules @returns {Present[]} */
export const withRules = (states, rules) =>
  states.map((state) => ({ ...state, rule: rules.find(({ unit, window }) => unit === state.unit && window === state.window) }));

/** The same of a reply of `GET …/limits`. @param {(Rule & {state: any})[]} data @returns {Present[]} */
export const presentOf = (data) => data.map(({ state, ...rule }) => ({ ...rule, ...state, rule }));
