import { post, remove, serverNow } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { plural } from "../../core/words.js";
import { Badge } from "../../ui/Badge.js";
import { Button } from "../../ui/Button.js";
import { Confirm } from "../../ui/Confirm.js";
import { Select } from "../../ui/Select.js";
import { Time } from "../../ui/Time.js";
import { toast } from "../../ui/Toast.js";
import { Form, Once, Text } from "./Form.js";
import { ChangeLimits, LimitList } from "./Limits.js";

const DAYS = [["1", "a day"], ["7", "a week"], ["30", "30 days"]].map(([value, label]) => ({ value, label }));
const OVERLAPS = [["0", "not at all"], ["3600", "an hour"], ["86400", "a day"], ["604800", "a week"]].map(([value, label]) => ({ value, label }));
const DAY_S = 86_400;

/** @typedef {import("../../core/shapes.js").Key} Key */
/** @typedef {import("../../core/shapes.js").UserLimits} Person */
/** @typedef {{kind: "limits" | "invite" | "key"} | {kind: "rotate" | "revoke", key: Key} | {kind: "withdraw", id: string} | {kind: "once", title: string, text: string, note: string}} Asked */

/** A user: limits, keys, and open invitations. @param {{user: Person, keys: Key[], invitations: import("../../core/shapes.js").Invitation[], onChange: () => any}} props */
export function User({ user, keys, invitations, onChange }) {
  const [asked, setAsked] = useState(/** @type {Asked | null} */ (null));
  const working = keys.filter(({ revoked_at: revoked, expires_at: ends }) => !revoked && !(ends && Date.parse(ends) <= serverNow()));
  return html`<section class="panel stack user" aria-label=${user.name}>
    <div class="row"><div class="team-name"><h3>${user.name}</h3><p class="note">${working.length ? plural(working.length, "key") : "no key that works"}</p></div>
      <span class="push row"><${Button} onPress=${() => setAsked({ kind: "limits" })}>Limits</${Button}>
      <${Button} onPress=${() => setAsked({ kind: "key" })}>Make a key</${Button}>
      <${Button} icon="link" onPress=${() => setAsked({ kind: "invite" })}>Invite</${Button}></span></div>
    <${LimitList} limits=${user.limits} none="No limit of this user's own: the team's and the gateway's count." />
    ${working.length > 0 && html`<ul class="things" aria-label="Keys of ${user.name}">${working.map((key) => html`<li key=${key.id}>
      <div><b>${key.name || "Key"}</b> <code class="soft">${key.shown_as}</code>
        <p class="note">used <${Time} at=${key.last_used_at} />${key.expires_at && html` · ends <${Time} at=${key.expires_at} />`}</p></div>
      <span class="row push"><${Button} kind="quiet" onPress=${() => setAsked({ kind: "rotate", key })}>Replace …</${Button}>
      <${Button} kind="quiet" onPress=${() => setAsked({ kind: "revoke", key })}>Revoke …</${Button}></span></li>`)}</ul>`}
    ${invitations.length > 0 && html`<ul class="things" aria-label="Open invitations of ${user.name}">${invitations.map((one) => html`<li key=${one.id}>
      <div><${Badge} tone="busy">Invited</${Badge}> ${one.key_name}<p class="note">made <${Time} at=${one.created_at} /> · ends <${Time} at=${one.expires_at} /></p></div>
      <${Button} kind="quiet" onPress=${() => setAsked({ kind: "withdraw", id: one.id })}>Withdraw …</${Button}></li>`)}</ul>`}
    ${asked && html`<${Ask} asked=${asked} user=${user} onNext=${setAsked} onChange=${onChange} />`}
  </section>`;
}

/** The window for what was pressed. @param {{asked: Asked, user: Person, onNext: (next: Asked | null) => void, onChange: () => any}} props */
function Ask({ asked, user, onNext, onChange }) {
  const close = () => onNext(null);
  /** @param {string} path @param {string} done */
  const end = (path, done) => async () => {
    await remove(path);
    await onChange();
    toast(done, { tone: "good" });
  };
  if (asked.kind === "limits") return html`<${ChangeLimits} path="admin/users/${user.id}/limits" name=${user.name} onDone=${onChange} onClose=${close} />`;
  if (asked.kind === "once") return html`<${Once} ...${asked} onClose=${close} />`;
  if (asked.kind === "revoke") {
    return html`<${Confirm} title="Revoke this key?" text="Whoever uses ${asked.key.shown_as} is refused from now on, within a second. Clips that are ordered are still made. To change a key without a gap, replace it instead."
      action="Revoke it" onConfirm=${end(`admin/keys/${asked.key.id}`, "The key is revoked.")} onClose=${close} />`;
  }
  if (asked.kind === "withdraw") {
    return html`<${Confirm} title="Withdraw this invitation?" text="The link opens nothing any more. You can invite ${user.name} again."
      action="Withdraw it" onConfirm=${end(`admin/invitations/${asked.id}`, "The invitation is withdrawn.")} onClose=${close} />`;
  }
  return html`<${Make} key=${asked.kind} asked=${asked} user=${user} onNext=${onNext} onChange=${onChange} />`;
}

/** A key, its replacement, or an invitation. @param {{asked: any, user: Person, onNext: (next: Asked | null) => void, onChange: () => any}} props */
function Make({ asked, user, onNext, onChange }) {
  const [name, setName] = useState("");
  const [days, setDays] = useState("1");
  const [overlap, setOverlap] = useState(`${DAY_S}`);
  const close = () => onNext(null);
  const given = name.trim();
  /** @param {string} path @param {any} body @param {string} title @param {string} note */
  const make = async (path, body, title, note) => {
    const made = await post(path, body);
    onNext({ kind: "once", title, text: made.url ?? made.key, note });
    await onChange();
  };
  if (asked.kind === "invite") {
    const body = { user: user.id, expires_in: Number(days) * DAY_S, ...(given && { key_name: given }) };
    return html`<${Form} title="Invite ${user.name}" action="Make the link" onClose=${close}
      onSend=${() => make("admin/invitations", body, `Invitation for ${user.name}`, "Send it to the colleague alone: whoever opens it first gets the key. It works once.")}>
      <${Text} label="Name of the key (optional)" value=${name} onInput=${setName} placeholder="laptop" note="Under which you find it here later." />
      <${Select} label="The link works for" options=${DAYS} value=${days} onChange=${setDays} />
    </${Form}>`;
  }
  if (asked.kind === "rotate") {
    return html`<${Form} title="Replace ${asked.key.name || asked.key.shown_as}" action="Make the new key" onClose=${close}
      onSend=${() => make(`admin/keys/${asked.key.id}/rotate`, { overlap: Number(overlap) }, `New key of ${user.name}`, "Put it where the old one was, before the old one ends.")}>
      <${Select} label="The old key still works for" options=${OVERLAPS} value=${overlap} onChange=${setOverlap} note="Long enough to put the new one everywhere." />
    </${Form}>`;
  }
  return html`<${Form} title="Make a key for ${user.name}" action="Make the key" onClose=${close}
    onSend=${() => make("admin/keys", { user: user.id, ...(given && { name: given }) }, `Key of ${user.name}`, "With an invitation, nobody but the colleague sees the key.")}>
    <${Text} label="Name of the key (optional)" value=${name} onInput=${setName} placeholder="laptop" note="Under which you find it here later." />
  </${Form}>`;
}
