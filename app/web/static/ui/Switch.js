import { html, useId } from "../core/html.js";

/** On or off. @param {{label: string, value: boolean, note?: any, fault?: string, id?: string, onChange: (value: boolean) => void}} props */
export function Switch({ label, value, note, fault, id, onChange }) {
  const own = useId();
  const name = id ?? own;
  return html`<div class="field switch">
    <label for=${name}><span>${label}</span>
      <input type="checkbox" role="switch" id=${name} checked=${value} aria-describedby=${note ? `${name}-note` : undefined}
        onChange=${(/** @type {any} */ event) => onChange(event.target.checked)} /></label>
    ${fault && html`<p class="fault">${fault}</p>`}
    ${note && html`<p class="note" id="${name}-note">${note}</p>`}
  </div>`;
}
