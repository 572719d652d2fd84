import { get, post } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { go } from "../../core/router.js";
import { Button } from "../../ui/Button.js";
import { Empty } from "../../ui/Empty.js";
import { Form, Text } from "./Form.js";
import { LimitRows } from "./Limits.js";
import { Team } from "./Team.js";
import { bodyOf } from "./kinds.js";
import { Unread, useReading } from "./reading.js";

/** The teams, and one of them with its people. @param {{query: URLSearchParams}} props */
export function People({ query }) {
  const [adding, setAdding] = useState(false);
  const { value, fault, again } = useReading((signal) => get("admin/teams", { signal }), []);
  const add = adding && html`<${AddTeam} onDone=${again} onClose=${() => setAdding(false)} />`;
  if (!value) return html`<${Unread} fault=${fault} again=${again} label="Reading the teams" />`;
  /** @type {import("../../core/shapes.js").Team[]} */
  const teams = value.data;
  if (!teams.length) {
    return html`<${Empty} icon="admin" title="No teams yet" text="A team shares a budget. Its users each have keys and limits of their own.">
      <${Button} kind="main" icon="plus" onPress=${() => setAdding(true)}>Add a team</${Button}></${Empty}>${add}`;
  }
  const chosen = teams.find(({ id }) => id === query.get("team")) ?? teams[0];
  return html`<div class="administered">
    <section class="teams" aria-label="Teams">
      <ul>${teams.map(({ id, name }) => html`<li key=${id}><a href="/admin/people?team=${id}" aria-current=${id === chosen.id ? "true" : undefined}>${name}</a></li>`)}</ul>
      <${Button} icon="plus" onPress=${() => setAdding(true)}>Add a team</${Button}>
    </section>
    <${Team} key=${chosen.id} team=${chosen} text=${query.get("text") ?? ""} onTeams=${again} />
    ${add}
  </div>`;
}

/** @param {{onDone: () => any, onClose: () => void}} props */
function AddTeam({ onDone, onClose }) {
  const [name, setName] = useState("");
  const [rows, setRows] = useState(/** @type {import("./kinds.js").Row[]} */ ([]));
  const [zone, setZone] = useState(Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC");
  const send = async () => {
    const made = await post("admin/teams", { name: name.trim(), time_zone: zone.trim(), limits: bodyOf(rows) });
    await onDone();
    onClose();
    go(`/admin/people?team=${made.id}`);
  };
  return html`<${Form} title="Add a team" action="Add the team" onSend=${send} onClose=${onClose}>
    <${Text} member="/name" label="Name" value=${name} onInput=${setName} />
    <${Text} member="/time_zone" label="Time zone" value=${zone} onInput=${setZone} note="Its days and months begin at midnight there, such as Europe/Berlin." />
    <${LimitRows} rows=${rows} above="No limit of its own: the users' and the whole gateway's count." onChange=${setRows} />
  </${Form}>`;
}
