import { html } from "../core/html.js";
import { Field } from "./Field.js";

/**
 * One of many choices.
 * @param {{label: string, options: {value: string, label: string, disabled?: boolean}[], value: string, note?: any, fault?: string,
 *   id?: string, onChange: (value: string) => void}} props
 */
export function Select({ label, options, value, note, fault, id, onChange }) {
  return html`<${Field} label=${label} note=${note} fault=${fault} id=${id}>
    ${(/** @type {any} */ ids) => html`<div class="select"><select ...${ids} value=${value} onChange=${(/** @type {any} */ event) => onChange(event.target.value)}>
      ${options.map((one) => html`<option key=${one.value} value=${one.value} disabled=${one.disabled}>${one.label}</option>`)}
    </select></div>`}
  </${Field}>`;
}
