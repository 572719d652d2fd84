import { html, useId } from "../core/html.js";

/**
 * One of a few choices, all of them seen: radio buttons.
 * @param {{label: string, options: {value: string, label: string}[], value: string, onChange: (value: string) => void,
 *   note?: any, fault?: string, hideLabel?: boolean, id?: string}} props
 */
export function Segments({ label, options, value, onChange, note, fault, hideLabel = false, id }) {
  const own = useId();
  const name = id ?? own;
  return html`<fieldset class="field" id=${name} aria-describedby=${note ? `${name}-note` : undefined}>
    <legend class=${hideLabel ? "unseen" : ""}>${label}</legend>
    <div class="segments">
      ${options.map(
        (option) => html`<label key=${option.value} class=${option.value === value ? "chosen" : ""}>
          <input type="radio" name="${name}-choice" value=${option.value} checked=${option.value === value}
            onChange=${() => onChange(option.value)} /><span>${option.label}</span></label>`,
      )}
    </div>
    ${fault && html`<p class="fault">${fault}</p>`}
    ${note && html`<p class="note" id="${name}-note">${note}</p>`}
  </fieldset>`;
}
