// What may be spent and what was: one's limits, those of the team's users, and the usage by day, model, user or key.

import { html } from "../../core/html.js";
import { isAdministrator, may } from "../../core/session.js";
import { useTitle } from "../../core/title.js";
import { Budgets } from "./Budgets.js";
import { People } from "./People.js";
import { Usage } from "./Usage.js";

/** @param {{query: URLSearchParams}} props */
export function Money({ query }) {
  useTitle("Money");
  const limited = !isAdministrator();
  return html`<div class="page money">
    <div class="page-head"><h1>Money</h1></div>
    <div class="stack">
      ${limited && html`<${Budgets} />`}
      <${Usage} query=${query} />
      ${limited && may("team:read") && html`<${People} />`}
    </div>
  </div>`;
}
