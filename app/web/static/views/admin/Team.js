import { get, patch, remove } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { readPages } from "../../core/pages.js";
import { go } from "../../core/router.js";
import { plural } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Confirm } from "../../ui/Confirm.js";
import { Empty } from "../../ui/Empty.js";
import { Menu } from "../../ui/Menu.js";
import { Notice } from "../../ui/Notice.js";
import { FEW_PEOPLE, PeopleSearch, findPeople } from "../../ui/Search.js";
import { toast } from "../../ui/Toast.js";
import { AddUsers } from "./AddUsers.js";
import { Form, Text } from "./Form.js";
import { ChangeLimits, LimitList } from "./Limits.js";
import { Raise } from "./Raise.js";
import { User } from "./User.js";
import { presentOf, withRules } from "./kinds.js";
import { Unread, useReading } from "./reading.js";

const PAGE = 50;

/** @typedef {import("../../core/shapes.js").Team} TeamFacts */

/**
 * Everything about a team: its limits, its users with theirs, its keys and invitations. `pages` of users are read, or of those whom `text` names.
 * @param {string} id @param {string} text @param {number} pages @param {AbortSignal} signal
 */
async function readTeam(id, text, pages, signal) {
  const wanted = text && `&text=${encodeURIComponent(text)}`;
  const [limits, people, rules, keys, invitations] = await Promise.all([
    get(`admin/teams/${id}/limits`, { signal }),
    readPages(`admin/teams/${id}/users?limit=${PAGE}${wanted}`, signal, pages),
    get(`admin/users?team=${id}`, { signal }),
    get(`admin/keys?team=${id}`, { signal }),
    get("admin/invitations", { signal }),
  ]);
  const rulesOf = new Map(rules.data.map((/** @type {any} */ user) => [user.id, user.limits]));
  const users = people.found.map((/** @type {import("../../core/shapes.js").UserLimits} */ user) => ({ ...user, limits: withRules(user.limits, rulesOf.get(user.id) ?? []) }));
  return { limits: presentOf(limits.data), users, count: rules.data.length, more: people.more, keys: keys.data, invitations: invitations.data };
}

/** `text`: whom one looks for, of the address. @param {{team: TeamFacts, text: string, onTeams: () => any}} props */
export function Team({ team, text, onTeams }) {
  const [read, setRead] = useState({ text, pages: 1 });
  const pages = read.text === text ? read.pages : 1;
  const [asked, setAsked] = useState("");
  const { value, fault, again } = useReading((signal) => readTeam(team.id, text, pages, signal), [team.id, text, pages]);
  const close = () => setAsked("");
  if (!value) return html`<div><${Unread} fault=${fault} again=${again} label="Reading the team" /></div>`;
  const { limits, users, count, more, keys, invitations } = value;
  const further = [
    ...(limits.length ? [{ label: "Raise a limit for a while …", onPress: () => setAsked("raise") }] : []),
    { label: "Name, time zone and share …", onPress: () => setAsked("edit") },
    { label: "Jobs of the team", href: `/jobs?team=${team.id}` },
    { label: "Money of the team", href: `/money?team=${team.id}` },
    { label: "Delete the team …", danger: true, onPress: () => setAsked("delete") },
  ];
  return html`<div class="stack team">
    ${fault && html`<${Notice} tone="bad" actions=${html`<${Button} onPress=${again}>Try again</${Button}>`}>${fault}</${Notice}>`}
    <section class="panel stack" aria-label="The team ${team.name}">
      <div class="row"><div class="team-name"><h2>${team.name}</h2><p class="note">${plural(count, "user")} · ${team.time_zone}</p></div>
        <span class="push row"><${Button} onPress=${() => setAsked("limits")}>Limits of the team</${Button}>
        <${Button} kind="main" icon="plus" onPress=${() => setAsked("users")}>Add users</${Button}>
        <${Menu} label="More about the team ${team.name}" items=${further} /></span></div>
      <${LimitList} limits=${limits} none="The team has no limit of its own." />
    </section>
    ${(text || count > FEW_PEOPLE) && html`<div class="row"><${PeopleSearch} text=${text} shortcut="Search the people" />
      <p class="note numbers" role="status">${text && `${users.length}${more ? " and more" : ""} of ${plural(count, "user")}`}</p></div>`}
    ${text && !users.length && html`<${Empty} icon="search" title="Nobody fits" text="Nobody in ${team.name} has such a name or id."><${Button} onPress=${() => findPeople("")}>Show everybody</${Button}></${Empty}>`}
    ${!text && !users.length && html`<${Empty} icon="plus" title="Nobody is in this team yet" text="Add users, one or many at once: each gets a limit, and a link by which they fetch a key." />`}
    ${users.map((user) => html`<${User} key=${user.id} team=${team.id} user=${user} keys=${keys.filter((/** @type {any} */ key) => key.user === user.id)}
      invitations=${invitations.filter((/** @type {any} */ one) => one.user === user.id && one.status === "open")} onChange=${again} />`)}
    ${more && html`<div class="row"><${Button} onPress=${() => setRead({ text, pages: pages + 1 })}>Show more users</${Button}></div>`}
    ${asked === "limits" && html`<${ChangeLimits} path="admin/teams/${team.id}" name=${team.name} onDone=${again} onClose=${close} />`}
    ${asked === "raise" && html`<${Raise} path="admin/teams/${team.id}" name=${team.name} limits=${limits} onDone=${again} onClose=${close} />`}
    ${asked === "users" && html`<${AddUsers} team=${team} onDone=${again} onClose=${close} />`}
    ${asked === "edit" && html`<${EditTeam} team=${team} onDone=${onTeams} onClose=${close} />`}
    ${asked === "delete" && html`<${DeleteTeam} team=${team} users=${count} onDone=${onTeams} onClose=${close} />`}
  </div>`;
}

/** @param {{team: TeamFacts, onDone: () => any, onClose: () => void}} props */
function EditTeam({ team, onDone, onClose }) {
  const [name, setName] = useState(team.name);
  const [zone, setZone] = useState(team.time_zone);
  const [weight, setWeight] = useState(`${team.weight}`);
  const send = async () => {
    await patch(`admin/teams/${team.id}`, { name: name.trim(), time_zone: zone.trim(), weight: Number(weight) });
    await onDone();
    onClose();
  };
  return html`<${Form} title="Change ${team.name}" action="Change it" onSend=${send} onClose=${onClose}>
    <${Text} member="/name" label="Name" value=${name} onInput=${setName} />
    <${Text} member="/time_zone" label="Time zone" value=${zone} onInput=${setZone} note="Its days and months begin at midnight there. What is used in the present ones stays counted." />
    <${Text} member="/weight" label="Share when fal is busy" value=${weight} onInput=${setWeight} note="1 to 100: a team with 2 gets twice as many turns as a team with 1, while both wait." />
  </${Form}>`;
}

/** @param {{team: TeamFacts, users: number, onDone: () => any, onClose: () => void}} props */
function DeleteTeam({ team, users, onDone, onClose }) {
  const end = async () => {
    await remove(`admin/teams/${team.id}`);
    toast(`${team.name} is deleted.`, { tone: "good" });
    go("/admin/people", { replace: true });
    await onDone();
  };
  return html`<${Confirm} title="Delete the team ${team.name}?" word=${team.name} keep="Keep the team" action="Delete the team" onConfirm=${end} onClose=${onClose}
    text=${html`Its ${users === 1 ? "user is" : `${plural(users, "user")} are`} deleted, and every key, invitation, link and webhook endpoint of the team ends within a second. It cannot be undone.
      While a job has not ended the team cannot be deleted: wait for <a href="/jobs?team=${team.id}&status=open">those under way</a>, or cancel them. Finished jobs, the ledger and the audit log stay.`} />`;
}
