import { post, serverNow } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { Button } from "../../ui/Button.js";
import { Dialog } from "../../ui/Dialog.js";
import { Field } from "../../ui/Field.js";
import { Segments } from "../../ui/Segments.js";
import { Switch } from "../../ui/Switch.js";
import { Form, Text } from "../admin/Form.js";
import { LASTS, MadeLink, USUAL } from "../share/ShareDialog.js";

const DAY_MS = 86_400_000;

/** `2026-11-30` in this browser's zone. @param {Date} at */
const dayOf = (at) => `${at.getFullYear()}-${`${at.getMonth() + 1}`.padStart(2, "0")}-${`${at.getDate()}`.padStart(2, "0")}`;

/** The midnight that a day of an input begins with, here; so many days later. @param {string} day @param {number} later */
function midnight(day, later) {
  const [year, month, date] = day.split("-").map(Number);
  return new Date(year, month - 1, date + later).toISOString();
}

/** A link to all clips of a period. @param {{onMade: () => any, onClose: () => void}} props */
export function WallDialog({ onMade, onClose }) {
  const now = serverNow();
  const [title, setTitle] = useState("");
  const [from, setFrom] = useState(dayOf(new Date(now - 6 * DAY_MS)));
  const [to, setTo] = useState(dayOf(new Date(now)));
  const [lasts, setLasts] = useState(USUAL);
  const [prompt, setPrompt] = useState(false);
  const [url, setUrl] = useState("");
  const send = async () => {
    if (!from || !to) throw new Error("Give the first and the last day.");
    const made = await post("shares", { from: midnight(from, 0), to: midnight(to, 1), title: title.trim(), expires_in: Number(lasts), prompt });
    setUrl(made.url);
    await onMade();
  };
  if (url) {
    return html`<${Dialog} title="The wall is ready" onClose=${onClose} actions=${html`<${Button} href=${url} target="_blank">Look at it</${Button}><${Button} onPress=${onClose}>Close</${Button}>`}>
      <${MadeLink} url=${url} /></${Dialog}>`;
  }
  return html`<${Form} title="Make a wall of clips" action="Make the wall" onSend=${send} onClose=${onClose}>
    <p class="note">A page with every clip that the team asked for in these days. While the last day is not over, new ones appear on it.</p>
    <${Text} member="/title" label="Heading (optional)" value=${title} onInput=${setTitle} placeholder="Spring campaign" />
    <div class="wall-days"><${Day} label="First day" value=${from} onInput=${setFrom} /><${Day} label="Last day" value=${to} onInput=${setTo} /></div>
    <${Segments} label="The link works for" options=${LASTS} value=${lasts} onChange=${setLasts} />
    <${Switch} label="Show the prompts as well" value=${prompt} onChange=${setPrompt} />
  </${Form}>`;
}

/** @param {{label: string, value: string, onInput: (value: string) => void}} props */
const Day = ({ label, value, onInput }) => html`<${Field} label=${label}>
  ${(/** @type {any} */ ids) => html`<input ...${ids} type="date" value=${value} onInput=${(/** @type {any} */ event) => onInput(event.target.value)} />`}
</${Field}>`;
