import { html, useState } from "../core/html.js";
import { Button } from "./Button.js";
import { Dialog } from "./Dialog.js";
import { Field } from "./Field.js";

/** A text as it is seen: the page shows one space for several. @param {string} text */
const plain = (text) => text.trim().replace(/\s+/g, " ");

/**
 * Asks before something that cannot be undone. With `word`, it has to be typed first. `onConfirm` may throw: the sentence
 * is shown, and the question stays.
 * @param {{title: string, text: any, action: string, keep?: string, word?: string, danger?: boolean, onConfirm: () => any, onClose: () => void}} props
 */
export function Confirm({ title, text, action, keep = "Keep it", word, danger = true, onConfirm, onClose }) {
  const [typed, setTyped] = useState("");
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState("");
  const ready = !word || plain(typed) === plain(word);
  const confirm = async () => {
    setBusy(true);
    try {
      await onConfirm();
      onClose();
    } catch (error) {
      setFault(/** @type {Error} */ (error).message);
      setBusy(false);
    }
  };
  const actions = html`<${Button} onPress=${onClose} autofocus>${keep}</${Button}>
    <${Button} kind=${danger ? "danger" : "main"} busy=${busy} off=${!ready} onPress=${confirm}>${action}</${Button}>`;
  return html`<${Dialog} title=${title} onClose=${onClose} actions=${actions}>
    <p>${text}</p>
    ${word &&
    html`<${Field} label=${html`Type <b>${word}</b> to confirm`}>
      ${(/** @type {any} */ ids) => html`<input ...${ids} type="text" autocomplete="off" spellcheck=${false} value=${typed}
        onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} />`}
    </${Field}>`}
    ${fault && html`<p class="fault" role="alert">${fault}</p>`}
  </${Dialog}>`;
}
