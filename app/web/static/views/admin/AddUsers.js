import { get, post } from "../../core/api.js";
import { html, useRef, useState } from "../../core/html.js";
import { plural } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Copy } from "../../ui/Copy.js";
import { Dialog } from "../../ui/Dialog.js";
import { Field } from "../../ui/Field.js";
import { Notice } from "../../ui/Notice.js";
import { Segments } from "../../ui/Segments.js";
import { Form } from "./Form.js";
import { LimitRows } from "./Limits.js";
import { bodyOf } from "./kinds.js";

const DAY_S = 86_400;
/** @type {{value: string, label: string, note: string}[]} */
const GIFTS = [
  { value: "link", label: "A link", note: "Under it each fetches a key of their own, once, within a day. Nobody else sees the key." },
  { value: "key", label: "A key", note: "It is shown once, to you. Send each their own." },
  { value: "", label: "Nothing yet", note: "You can invite them, or make a key, later." },
];

/** A user who was added, with the link or the key they get. @typedef {{name: string, secret: string}} Added */
/** `left` are the names that were not added, because of `fault`. @typedef {{added: Added[], left: string[], fault: string}} Outcome */

/** Adds users to a team, one a line, all with the same limits. @param {{team: import("../../core/shapes.js").Team, onDone: () => any, onClose: () => void}} props */
export function AddUsers({ team, onDone, onClose }) {
  const [text, setText] = useState("");
  const [rows, setRows] = useState([{ unit: "usd", window: "month", amount: "50" }]);
  const [gift, setGift] = useState("link");
  const [at, setAt] = useState(0);
  const [outcome, setOutcome] = useState(/** @type {Outcome | null} */ (null));
  const ids = useRef(/** @type {Map<string, string>} */ (new Map())); // of users who were added, but got no key
  const names = [...new Set(text.split("\n").map((line) => line.trim()).filter(Boolean))];
  /** @param {string} name @returns {Promise<Added>} */
  const add = async (name) => {
    const user = ids.current.get(name) ?? (await post("admin/users", { team: team.id, name, limits: bodyOf(rows) })).id;
    ids.current.set(name, user);
    if (!gift) return { name, secret: "" };
    const made = gift === "link" ? await post("admin/invitations", { user, expires_in: DAY_S }) : await post("admin/keys", { user });
    return { name, secret: made.url ?? made.key };
  };
  const send = async () => {
    if (!names.length) throw new Error("Give a name; for several, one on each line.");
    const known = (await get(`admin/users?team=${team.id}`)).data.map((/** @type {{name: string}} */ user) => user.name);
    const twice = names.filter((name) => known.includes(name) && !ids.current.has(name));
    if (twice.length) throw new Error(`${twice.join(", ")}: there is somebody of this name in ${team.name}. Take the line away, or add to the name.`);
    /** @type {Added[]} */
    const added = [];
    for (const [index, name] of names.entries()) {
      setAt(index + 1);
      try {
        added.push(await add(name));
      } catch (error) {
        if (!added.length) throw error;
        setOutcome({ added, left: names.slice(index), fault: /** @type {Error} */ (error).message });
        return onDone();
      }
    }
    await onDone();
    if (gift) setOutcome({ added, left: [], fault: "" });
    else onClose();
  };
  const goOn = () => {
    setText(outcome?.left.join("\n") ?? "");
    setAt(0);
    setOutcome(null);
  };
  if (outcome) return html`<${Given} ...${outcome} kind=${gift} onClose=${outcome.left.length ? goOn : onClose} />`;
  const many = names.length > 1;
  return html`<${Form} title="Add users to ${team.name}" action=${many ? `Add ${names.length} users` : "Add the user"} onSend=${send} onClose=${onClose}>
    <${Field} label="Name" note="Several at once: one on each line.">${(/** @type {any} */ field) => html`<textarea ...${field} rows=${Math.min(10, Math.max(2, names.length + 1))} spellcheck=${false}
      value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)}></textarea>`}</${Field}>
    <${LimitRows} rows=${rows} onChange=${setRows} />
    ${many && html`<p class="note">Each of the ${names.length} gets these limits.</p>`}
    <${Segments} label=${many ? "Each gets" : "They get"} options=${GIFTS} value=${gift} onChange=${setGift} note=${GIFTS.find(({ value }) => value === gift)?.note} />
    ${at > 0 && many && html`<p class="note" role="status">${at} of ${names.length}: ${names[at - 1]}</p>`}
  </${Form}>`;
}

/** What each got; it is told once. @param {Outcome & {kind: string, onClose: () => void}} props */
function Given({ added, left, fault, kind, onClose }) {
  const what = kind === "link" ? "link" : "key";
  const shown = added.filter(({ secret }) => secret);
  const title = added.length === 1 ? `${added[0].name} is added` : `${plural(added.length, "user")} are added`;
  const all = shown.map(({ name, secret }) => `${name}\t${secret}`).join("\n");
  return html`<${Dialog} title=${title} wide=${added.length > 1} onClose=${onClose}
    actions=${html`<${Button} onPress=${onClose}>${left.length ? "Go on with the others" : shown.length ? "I have kept it" : "Close"}</${Button}>`}>
    ${fault && html`<${Notice} tone="bad">Not added: ${left.join(", ")}. ${fault}</${Notice}>`}
    ${shown.length > 0 && html`<${Notice} tone="hold">${shown.length === 1 ? "It is" : "They are"} shown this once. Copy before you close this window.</${Notice}>`}
    ${shown.length === 1 && html`<code class="secret" id="shown-once">${shown[0].secret}</code>
      <div class="row"><${Copy} text=${shown[0].secret} kind="main">Copy the ${what}</${Copy}></div>`}
    ${shown.length > 1 && html`<div class="row"><${Copy} text=${all} kind="main">Copy all, with names</${Copy}></div>
      <ul class="given" aria-label="What each got">${shown.map(({ name, secret }) => html`<li key=${name}><b>${name}</b><code>${secret}</code><${Copy} text=${secret} label="Copy the ${what} of ${name}" /></li>`)}</ul>`}
    ${shown.length > 0 && html`<p class="note">${kind === "link" ? "Send each their own: whoever opens a link first gets the key. It works once, within a day." : "Send each their own, and keep no copy."}</p>`}
  </${Dialog}>`;
}
