import { get } from "../../core/api.js";
import { html } from "../../core/html.js";
import { Button } from "../../ui/Button.js";
import { Empty } from "../../ui/Empty.js";
import { Webhooks } from "../webhooks/Webhooks.js";
import { ofTeam } from "../webhooks/where.js";
import { Unread, useReading } from "./reading.js";

/** The webhook endpoints of a team. @param {{id?: string, query: URLSearchParams}} props */
export function Hooks({ id, query }) {
  const { value, fault, again } = useReading((signal) => get("admin/teams", { signal }), []);
  if (!value) return html`<${Unread} fault=${fault} again=${again} label="Reading the teams" />`;
  /** @type {import("../../core/shapes.js").Team[]} */
  const teams = value.data;
  if (!teams.length) return html`<${Empty} icon="admin" title="No teams yet" text="Webhook endpoints belong to a team."><${Button} href="/admin/people">People and keys</${Button}></${Empty}>`;
  const chosen = teams.find((team) => team.id === query.get("team")) ?? teams[0];
  return html`<div class="administered">
    <section class="teams" aria-label="Teams">
      <ul>${teams.map((team) => html`<li key=${team.id}><a href="/admin/webhooks?team=${team.id}" aria-current=${team.id === chosen.id ? "true" : undefined}>${team.name}</a></li>`)}</ul>
    </section>
    <div><${Webhooks} key=${chosen.id} where=${ofTeam(chosen.id)} id=${id} query=${query} /></div>
  </div>`;
}
