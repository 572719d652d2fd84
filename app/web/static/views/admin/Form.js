import { html, useState } from "../../core/html.js";
import { Button } from "../../ui/Button.js";
import { Copy } from "../../ui/Copy.js";
import { Dialog } from "../../ui/Dialog.js";
import { Field } from "../../ui/Field.js";
import { Notice } from "../../ui/Notice.js";

/**
 * A window with fields. `onSend` may throw: the sentence is shown, and what was typed stays.
 * @param {{title: string, action: string, onSend: () => any, onClose: () => void, children?: any}} props
 */
export function Form({ title, action, onSend, onClose, children }) {
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState("");
  /** @param {Event} event */
  const send = async (event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setFault("");
    try {
      await onSend();
    } catch (error) {
      setFault(/** @type {Error} */ (error).message);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form class="stack" method="post" novalidate onSubmit=${send}>
      ${children}
      ${fault && html`<p class="fault" role="alert">${fault}</p>`}
      <div class="row form-end"><${Button} onPress=${onClose}>Cancel</${Button}><${Button} type="submit" kind="main" busy=${busy}>${action}</${Button}></div>
    </form>
  </${Dialog}>`;
}

/** @param {{label: string, value: string, onInput: (value: string) => void, note?: any, placeholder?: string}} props */
export const Text = ({ label, value, onInput, note, placeholder }) => html`<${Field} label=${label} note=${note}>
  ${(/** @type {any} */ ids) => html`<input ...${ids} type="text" autocomplete="off" spellcheck=${false} placeholder=${placeholder} value=${value}
    onInput=${(/** @type {any} */ event) => onInput(event.target.value)} />`}
</${Field}>`;

/** A secret that the API tells once. @param {{title: string, text: string, note: string, onClose: () => void}} props */
export const Once = ({ title, text, note, onClose }) => html`<${Dialog} title=${title} onClose=${onClose}
  actions=${html`<${Button} onPress=${onClose}>I have kept it</${Button}>`}>
  <${Notice} tone="hold">It is shown this once. Copy it before you close this window.</${Notice}>
  <code class="secret" id="shown-once">${text}</code>
  <div class="row"><${Copy} text=${text} kind="main">Copy</${Copy}></div>
  <p class="note">${note}</p>
</${Dialog}>`;
