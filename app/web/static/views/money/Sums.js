import { html, useEffect } from "../../core/html.js";
import { modelName, readModels } from "../../core/models.js";
import { dollars } from "../../core/words.js";
import { dayWords } from "./report.js";

/** @typedef {import("./report.js").Row} Row */

/** @type {Record<string, string>} */
const TITLES = { day: "Day", model: "Model", user: "User", key: "Key", team: "Team" };

/** What a row is about. @param {Row} row @param {string} group */
function nameOf(row, group) {
  if (group === "team") return row.team_name || row.team;
  const own = { day: row.day, model: row.model, user: row.user, key: row.key }[group];
  if (!own) return "Corrections about no job";
  if (group === "model") return modelName(own);
  return group === "day" ? dayWords(own) : row.name || own;
}

/** A report as a table, with its total; a bar for each row's share. @param {{report: import("./report.js").Report, measure: import("./report.js").Measure}} props */
export function Sums({ report: { data, total, group_by: group, time_zone: zone }, measure }) {
  /** @param {Row} row */
  const size = (row) => measure.spent(row) + measure.held(row);
  const teams = zone === null && group !== "team"; // a row for each team
  const rows = group === "day" ? data.toReversed() : data.toSorted((one, other) => size(other) - size(one));
  useEffect(() => void readModels(), []);
  const held = rows.some(({ held_usd: amount }) => Number(amount) !== 0); // else the column says nothing
  const most = Math.max(...rows.map(size));
  return html`<div class="table-scroll" tabindex="0" role="region" aria-label="Table of the usage"><table class="table sums">
    <caption class="unseen">Usage by ${TITLES[group].toLowerCase()}</caption>
    <thead><tr><th scope="col">${TITLES[group]}</th>${teams && html`<th scope="col">Team</th>`}
      <th scope="col" class="number">Spent</th>${held && html`<th scope="col" class="number">Set aside</th>`}<th scope="col" class="number">Jobs</th><th scope="col" class="number">Seconds</th></tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${`${row.team} ${row.day} ${row.model} ${row.user} ${row.key}`}>
      <th scope="row">${nameOf(row, group)}${group !== "day" && most > 0 && html`<span class="sums-share" style=${{ width: `${Math.max(0, size(row) / most) * 100}%` }}></span>`}</th>${teams && html`<td>${row.team_name}</td>`}<${Numbers} sums=${row} held=${held} /></tr>`)}</tbody>
    <tfoot><tr><th scope="row">Total</th>${teams && html`<td></td>`}<${Numbers} sums=${total} held=${held} /></tr></tfoot>
  </table></div>`;
}

/** @param {{sums: {spent_usd: string, held_usd: string, jobs: number, video_seconds: number}, held: boolean}} props */
const Numbers = ({ sums, held }) => html`<td class="number">${dollars(sums.spent_usd)}</td>${held && html`<td class="number">${dollars(sums.held_usd)}</td>`}
  <td class="number">${sums.jobs}</td><td class="number">${sums.video_seconds}</td>`;
