import { Refused } from "../../core/api.js";
import { createContext, html, useContext, useEffect, useRef, useState } from "../../core/html.js";
import { Button } from "../../ui/Button.js";
import { Copy } from "../../ui/Copy.js";
import { Dialog } from "../../ui/Dialog.js";
import { Field } from "../../ui/Field.js";
import { Notice } from "../../ui/Notice.js";

/** What was refused by the member of the body it is about, as `/name`; and the members that have a field. */
const Refusal = createContext({ faults: /** @type {Record<string, string>} */ ({}), fields: /** @type {Set<string>} */ (new Set()) });

/** A refusal by members: an address of a receiver has codes of its own. @param {unknown} error @returns {Record<string, string>} */
function faultsOf(error) {
  if (!(error instanceof Refused)) return {};
  if (error.code.startsWith("url_")) return { "/url": error.message };
  return Object.fromEntries(error.faults.map(({ pointer, message }) => [pointer, message]));
}

/**
 * A window with fields. `onSend` may throw: the sentence is shown, at its field where it is about one, and what was typed stays.
 * @param {{title: string, action: string, onSend: () => any, onClose: () => void, children?: any}} props
 */
export function Form({ title, action, onSend, onClose, children }) {
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState("");
  const [faults, setFaults] = useState(/** @type {Record<string, string>} */ ({}));
  const form = useRef(/** @type {HTMLFormElement | null} */ (null));
  const { current: fields } = useRef(/** @type {Set<string>} */ (new Set()));
  fields.clear(); // each field that is shown enters itself
  useEffect(() => {
    const wrong = /** @type {HTMLElement | null | undefined} */ (form.current?.querySelector("[aria-invalid]"));
    wrong?.focus(); // it may be out of sight; and what is wrong is read out with it
  }, [faults]);
  /** @param {Event} event */
  const send = async (event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setFault("");
    setFaults({});
    try {
      await onSend();
    } catch (error) {
      const found = faultsOf(error);
      const placed = Object.keys(found).length > 0 && Object.keys(found).every((member) => fields.has(member));
      setFaults(found);
      setFault(placed ? "" : /** @type {Error} */ (error).message);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form class="stack" method="post" novalidate ref=${form} onSubmit=${send}>
      <${Refusal.Provider} value=${{ faults, fields }}>${children}</${Refusal.Provider}>
      ${fault && html`<p class="fault" role="alert">${fault}</p>`}
      <div class="row form-end"><${Button} onPress=${onClose}>Cancel</${Button}><${Button} type="submit" kind="main" busy=${busy}>${action}</${Button}></div>
    </form>
  </${Dialog}>`;
}

/** A line to type in. `member` of the body is what it becomes, as `/name`. @param {{label: string, value: string, onInput: (value: string) => void, member?: string, note?: any, placeholder?: string}} props */
export function Text({ label, value, onInput, member = "", note, placeholder }) {
  const { faults, fields } = useContext(Refusal);
  if (member) fields.add(member);
  return html`<${Field} label=${label} note=${note} fault=${member && faults[member]}>
    ${(/** @type {any} */ ids) => html`<input ...${ids} type="text" autocomplete="off" spellcheck=${false} placeholder=${placeholder} value=${value}
      onInput=${(/** @type {any} */ event) => onInput(event.target.value)} />`}
  </${Field}>`;
}

/** A secret that the API tells once. @param {{title: string, text: string, note: string, onClose: () => void}} props */
export const Once = ({ title, text, note, onClose }) => html`<${Dialog} title=${title} onClose=${onClose}
  actions=${html`<${Button} onPress=${onClose}>I have kept it</${Button}>`}>
  <${Notice} tone="hold">It is shown this once. Copy it before you close this window.</${Notice}>
  <code class="secret" id="shown-once">${text}</code>
  <div class="row"><${Copy} text=${text} kind="main">Copy</${Copy}></div>
  <p class="note">${note}</p>
</${Dialog}>`;
