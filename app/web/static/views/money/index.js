// What may be spent and what was: limits, usage by day, model, user or key, and for administrators the ledger.

import { get } from "../../core/api.js";
import { html } from "../../core/html.js";
import { setQuery } from "../../core/router.js";
import { isAdministrator, may } from "../../core/session.js";
import { useTitle } from "../../core/title.js";
import { Select } from "../../ui/Select.js";
import { Unread, useReading } from "../admin/reading.js";
import { Budgets, BudgetsOf } from "./Budgets.js";
import { Ledger } from "./Ledger.js";
import { People } from "./People.js";
import { Usage } from "./Usage.js";

/** @param {{query: URLSearchParams}} props */
export function Money({ query }) {
  const text = query.get("text") ?? "";
  useTitle("Money");
  return isAdministrator() ? html`<${Every} query=${query} />` : html`<div class="page money">
    <div class="page-head"><h1>Money</h1></div>
    <div class="stack">
      <${Budgets} />
      <${Usage} query=${query} />
      ${may("team:read") && html`<${People} text=${text} />`}
    </div>
  </div>`;
}

/** All teams together, or one of them with its ledger. @param {{query: URLSearchParams}} props */
function Every({ query }) {
  const { value, fault, again } = useReading((signal) => get("admin/teams", { signal }), []);
  /** @type {import("../../core/shapes.js").Team[]} */
  const teams = value?.data ?? [];
  const wanted = query.get("team");
  const text = query.get("text") ?? "";
  const team = teams.find(({ id }) => id === wanted) ?? null;
  const options = [{ value: "", label: "All teams" }, ...teams.map(({ id, name }) => ({ value: id, label: name }))];
  const key = team?.id ?? "all";
  return html`<div class="page money">
    <div class="page-head"><h1>Money</h1>
      ${teams.length > 0 && html`<div class="push money-team"><${Select} label="Whose" options=${options} value=${team?.id ?? ""} onChange=${(/** @type {string} */ id) => setQuery({ team: id, group: null, text: null })} /></div>`}</div>
    ${value || fault === "" ? "" : html`<${Unread} fault=${fault} again=${again} label="Reading the teams" />`}
    ${(value || !wanted) && html`<div class="stack" key=${key}>
      <${BudgetsOf} team=${team} />
      <${Usage} query=${query} team=${team} />
      ${team && html`<${People} path="admin/teams/${team.id}/users" text=${text} />`}
      ${team ? html`<${Ledger} team=${team} query=${query} />` : html`<p class="note">Choose a team to see its users' budgets and its ledger, to credit it, or to correct what it has spent.</p>`}
    </div>`}
  </div>`;
}
