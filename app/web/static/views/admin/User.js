import { remove, serverNow } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { plural } from "../../core/words.js";
import { Badge } from "../../ui/Badge.js";
import { Button } from "../../ui/Button.js";
import { Confirm } from "../../ui/Confirm.js";
import { Menu } from "../../ui/Menu.js";
import { Time } from "../../ui/Time.js";
import { toast } from "../../ui/Toast.js";
import { Once } from "./Form.js";
import { ChangeLimits, LimitList } from "./Limits.js";
import { Make, rightsOf } from "./Make.js";
import { Raise } from "./Raise.js";
import { Rename } from "./Rename.js";

/** @typedef {import("../../core/shapes.js").Key} Key */
/** @typedef {import("../../core/shapes.js").Invitation} Invitation */
/** @typedef {Omit<import("../../core/shapes.js").UserLimits, "limits"> & {limits: import("./kinds.js").Present[]}} Person */
/**
 * What was pressed.
 * @typedef {{kind: "limits" | "raise" | "rename" | "delete" | "invite" | "key"} | {kind: "rotate" | "revoke", key: Key} | {kind: "withdraw", id: string} |
 *   {kind: "once", title: string, text: string, note: any}} Asked
 */

/** A user: limits, keys, and open invitations. @param {{team: string, user: Person, keys: Key[], invitations: Invitation[], onChange: () => any}} props */
export function User({ team, user, keys, invitations, onChange }) {
  const [asked, setAsked] = useState(/** @type {Asked | null} */ (null));
  const working = keys.filter(({ revoked_at: revoked, expires_at: ends }) => !revoked && !(ends && Date.parse(ends) <= serverNow()));
  const further = [
    ...(user.limits.length ? [{ label: "Raise a limit for a while …", onPress: () => setAsked({ kind: "raise" }) }] : []),
    { label: "Rename …", onPress: () => setAsked({ kind: "rename" }) },
    { label: "Jobs of this user", href: `/jobs?team=${team}&user=${user.id}` },
    { label: "Delete the user …", danger: true, onPress: () => setAsked({ kind: "delete" }) },
  ];
  return html`<section class="panel stack user" aria-label=${user.name}>
    <div class="row"><div class="team-name"><h3>${user.name}</h3><p class="note">${working.length ? plural(working.length, "key") : "no key that works"}</p></div>
      <span class="push row"><${Button} onPress=${() => setAsked({ kind: "limits" })}>Limits</${Button}>
      <${Button} onPress=${() => setAsked({ kind: "key" })}>Make a key</${Button}>
      <${Button} icon="link" onPress=${() => setAsked({ kind: "invite" })}>Invite</${Button}>
      <${Menu} label="More about ${user.name}" items=${further} /></span></div>
    <${LimitList} limits=${user.limits} none="No limit of this user's own: the team's and the gateway's count." />
    ${working.length > 0 && html`<ul class="things" aria-label="Keys of ${user.name}">${working.map((key) => html`<${WorkingKey} key=${key.id} it=${key} onAsk=${setAsked} />`)}</ul>`}
    ${invitations.length > 0 && html`<ul class="things" aria-label="Open invitations of ${user.name}">${invitations.map((one) => html`<li key=${one.id}>
      <div><${Badge} tone="busy">Invited</${Badge}> ${one.key_name}<p class="note">made <${Time} at=${one.created_at} /> · ends <${Time} at=${one.expires_at} /></p></div>
      <${Button} kind="quiet" onPress=${() => setAsked({ kind: "withdraw", id: one.id })}>Withdraw …</${Button}></li>`)}</ul>`}
    ${asked && html`<${Ask} asked=${asked} user=${user} onNext=${setAsked} onChange=${onChange} />`}
  </section>`;
}

/** A key that opens; one that was replaced cannot be replaced again. @param {{it: Key, onAsk: (asked: Asked) => void}} props */
function WorkingKey({ it, onAsk }) {
  const rights = rightsOf(it.scopes);
  return html`<li>
    <div><b>${it.name || "Key"}</b> <code class="soft">${it.shown_as}</code> ${it.replaced_by && html`<${Badge} tone="hold">replaced</${Badge}>`} ${rights && html`<${Badge}>${rights}</${Badge}>`}
      <p class="note">used <${Time} at=${it.last_used_at} />${it.expires_at && html` · ends <${Time} at=${it.expires_at} />`}</p></div>
    <span class="row push">${!it.replaced_by && html`<${Button} kind="quiet" onPress=${() => onAsk({ kind: "rotate", key: it })}>Replace …</${Button}>`}
    <${Button} kind="quiet" onPress=${() => onAsk({ kind: "revoke", key: it })}>${it.replaced_by ? "End it now …" : "Revoke …"}</${Button}></span></li>`;
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
  const path = `admin/users/${user.id}`;
  if (asked.kind === "limits") return html`<${ChangeLimits} path=${path} name=${user.name} onDone=${onChange} onClose=${close} />`;
  if (asked.kind === "raise") return html`<${Raise} path=${path} name=${user.name} limits=${user.limits} onDone=${onChange} onClose=${close} />`;
  if (asked.kind === "rename") return html`<${Rename} path=${path} name=${user.name} onDone=${onChange} onClose=${close} />`;
  if (asked.kind === "once") return html`<${Once} ...${asked} onClose=${close} />`;
  if (asked.kind === "delete") {
    return html`<${Confirm} title="Delete ${user.name}?" word=${user.name} keep="Keep the user" action="Delete the user" onConfirm=${end(path, `${user.name} is deleted.`)} onClose=${close}
      text=${html`Every key, browser and open invitation of ${user.name} ends within a second. It cannot be undone.
        While one of their jobs has not ended they cannot be deleted: wait for <a href="/jobs?user=${user.id}&status=open">those under way</a>, or cancel them. Finished jobs, the ledger and the audit log stay.`} />`;
  }
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
