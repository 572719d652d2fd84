import { get, post } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { plural } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Empty } from "../../ui/Empty.js";
import { Notice } from "../../ui/Notice.js";
import { Form, Text } from "./Form.js";
import { ChangeLimits, LimitList, LimitRows } from "./Limits.js";
import { User } from "./User.js";
import { bodyOf } from "./kinds.js";
import { Unread, useReading } from "./reading.js";

const PAGE = 50;

/**
 * Everything about a team: its limits, its users with theirs, its keys and invitations. `pages` of users are read.
 * @param {string} id @param {number} pages @param {AbortSignal} signal
 */
async function readTeam(id, pages, signal) {
  const users = async () => {
    /** @type {import("../../core/shapes.js").UserLimits[]} */
    const found = [];
    let next = "";
    for (let page = 0; page < pages && (page === 0 || next); page += 1) {
      const one = await get(`admin/teams/${id}/users?limit=${PAGE}${next && `&cursor=${encodeURIComponent(next)}`}`, { signal });
      found.push(...one.data);
      next = one.next_cursor ?? "";
    }
    return { found, more: Boolean(next) };
  };
  const [limits, people, keys, invitations] = await Promise.all([
    get(`admin/teams/${id}/limits`, { signal }),
    users(),
    get(`admin/keys?team=${id}`, { signal }),
    get("admin/invitations", { signal }),
  ]);
  return { limits: limits.data, users: people.found, more: people.more, keys: keys.data, invitations: invitations.data };
}

/** @param {{team: import("../../core/shapes.js").Team}} props */
export function Team({ team }) {
  const [pages, setPages] = useState(1);
  const [asked, setAsked] = useState("");
  const { value, fault, again } = useReading((signal) => readTeam(team.id, pages, signal), [team.id, pages]);
  const close = () => setAsked("");
  if (!value) return html`<div><${Unread} fault=${fault} again=${again} label="Reading the team" /></div>`;
  const { limits, users, more, keys, invitations } = value;
  return html`<div class="stack team">
    ${fault && html`<${Notice} tone="bad" actions=${html`<${Button} onPress=${again}>Try again</${Button}>`}>${fault}</${Notice}>`}
    <section class="panel stack" aria-label="The team ${team.name}">
      <div class="row"><div class="team-name"><h2>${team.name}</h2><p class="note">${plural(users.length, "user")}${more ? " so far" : ""} · ${team.time_zone}</p></div>
        <span class="push row"><${Button} onPress=${() => setAsked("limits")}>Limits of the team</${Button}>
        <${Button} kind="main" icon="plus" onPress=${() => setAsked("user")}>Add a user</${Button}></span></div>
      <${LimitList} limits=${limits.map((/** @type {any} */ one) => ({ ...one, ...one.state }))} none="The team has no limit of its own." />
    </section>
    ${!users.length && html`<${Empty} icon="plus" title="Nobody is in this team yet" text="Add a user, then send an invitation link: the colleague gets a key by it." />`}
    ${users.map((user) => html`<${User} key=${user.id} user=${user} keys=${keys.filter((/** @type {any} */ key) => key.user === user.id)}
      invitations=${invitations.filter((/** @type {any} */ one) => one.user === user.id && one.status === "open")} onChange=${again} />`)}
    ${more && html`<div class="row"><${Button} onPress=${() => setPages(pages + 1)}>Show more users</${Button}></div>`}
    ${asked === "limits" && html`<${ChangeLimits} path="admin/teams/${team.id}/limits" name=${team.name} onDone=${again} onClose=${close} />`}
    ${asked === "user" && html`<${AddUser} team=${team} onDone=${again} onClose=${close} />`}
  </div>`;
}

/** @param {{team: import("../../core/shapes.js").Team, onDone: () => any, onClose: () => void}} props */
function AddUser({ team, onDone, onClose }) {
  const [name, setName] = useState("");
  const [rows, setRows] = useState([{ unit: "usd", window: "month", amount: "50" }]);
  const send = async () => {
    await post("admin/users", { team: team.id, name: name.trim(), limits: bodyOf(rows) });
    await onDone();
    onClose();
  };
  return html`<${Form} title="Add a user to ${team.name}" action="Add the user" onSend=${send} onClose=${onClose}>
    <${Text} label="Name" value=${name} onInput=${setName} />
    <${LimitRows} rows=${rows} onChange=${setRows} />
  </${Form}>`;
}
