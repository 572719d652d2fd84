// A key, its replacement, or an invitation to one.

import { post } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { Select } from "../../ui/Select.js";
import { Form, Text } from "./Form.js";

const DAY_S = 86_400;
/** @param {[string, string][]} pairs */
const choices = (pairs) => pairs.map(([value, label]) => ({ value, label }));
const DAYS = choices([["1", "a day"], ["7", "a week"], ["30", "30 days"]]);
const OVERLAPS = choices([["0", "not at all"], ["3600", "an hour"], ["86400", "a day"], ["604800", "a week"]]);
const ENDS = choices([["", "for ever, until it is revoked"], ["30", "30 days"], ["90", "90 days"], ["365", "a year"]]);

/** @type {{value: string, label: string, short: string, scopes: string[] | null, note: string}[]} */
const RIGHTS = [
  { value: "", label: "Make clips, and see their own", short: "", scopes: null, note: "What a colleague needs." },
  { value: "read", label: "… and see the team's", short: "sees the team", scopes: ["jobs:write", "jobs:read", "team:read"], note: "The team's jobs and money too." },
  { value: "admin", label: "… and act for the team", short: "acts for the team", scopes: ["jobs:write", "jobs:read", "team:read", "team:admin"], note: "Cancel and erase the team's jobs, webhook endpoints, walls. Limits and keys stay yours." },
];

/** What a key may do beyond making clips, in words. @param {readonly string[]} scopes */
export function rightsOf(scopes) {
  if (scopes.includes("team:admin")) return "acts for the team";
  if (scopes.includes("team:read")) return "sees the team";
  return scopes.includes("jobs:write") ? "" : "only reads";
}

/** @param {string} text */
const moment = (text) => new Date(text).toLocaleString("en-GB", { weekday: "long", day: "numeric", month: "long", hour: "2-digit", minute: "2-digit" });

/** @param {{asked: any, user: import("./User.js").Person, onNext: (next: import("./User.js").Asked | null) => void, onChange: () => any}} props */
export function Make({ asked, user, onNext, onChange }) {
  const [name, setName] = useState("");
  const [days, setDays] = useState("1");
  const [overlap, setOverlap] = useState(`${DAY_S}`);
  const [rights, setRights] = useState("");
  const [ends, setEnds] = useState("");
  const close = () => onNext(null);
  const given = name.trim();
  const right = RIGHTS.find(({ value }) => value === rights);
  const scopes = right?.scopes ? { scopes: right.scopes } : {};
  /** @param {string} path @param {any} body @param {string} title @param {any} note */
  const make = async (path, body, title, note) => {
    const made = await post(path, body);
    onNext({ kind: "once", title, text: made.url ?? made.key, note });
    await onChange();
  };
  const named = html`<${Text} member="/name" label="Name of the key (optional)" value=${name} onInput=${setName} placeholder="laptop" note="Under which you find it here later." />`;
  const allowed = html`<${Select} label="It may" options=${RIGHTS} value=${rights} onChange=${setRights} note=${right?.note} />`;
  if (asked.kind === "invite") {
    const body = { user: user.id, expires_in: Number(days) * DAY_S, ...(given && { key_name: given }), ...scopes };
    return html`<${Form} title="Invite ${user.name}" action="Make the link" onClose=${close}
      onSend=${() => make("admin/invitations", body, `Invitation for ${user.name}`, "Send it to the colleague alone: whoever opens it first gets the key. It works once.")}>
      ${named}${allowed}<${Select} label="The link works for" options=${DAYS} value=${days} onChange=${setDays} />
    </${Form}>`;
  }
  if (asked.kind === "rotate") {
    const until = Date.now() + Number(overlap) * 1000;
    const old = Number(overlap) ? `The old one, ${asked.key.shown_as}, works until ${moment(new Date(until).toISOString())}: put the new one in its place before.` : `The old one, ${asked.key.shown_as}, opens nothing any more.`;
    return html`<${Form} title="Replace ${asked.key.name || asked.key.shown_as}" action="Make the new key" onClose=${close}
      onSend=${() => make(`admin/keys/${asked.key.id}/rotate`, { overlap: Number(overlap) }, `New key of ${user.name}`, old)}>
      <p class="note">The new key may do what the old one may, and is shown once.</p>
      <${Select} label="The old key still works for" options=${OVERLAPS} value=${overlap} onChange=${setOverlap} note="Long enough to put the new one everywhere. You can end the old one sooner." />
    </${Form}>`;
  }
  const body = { user: user.id, ...(given && { name: given }), ...scopes, ...(ends && { expires_in: Number(ends) * DAY_S }) };
  return html`<${Form} title="Make a key for ${user.name}" action="Make the key" onClose=${close}
    onSend=${() => make("admin/keys", body, `Key of ${user.name}`, "With an invitation, nobody but the colleague sees the key.")}>
    ${named}${allowed}<${Select} label="It works" options=${ENDS} value=${ends} onChange=${setEnds} />
  </${Form}>`;
}
