import { html } from "../core/html.js";
import { Field } from "./Field.js";

/**
 * A number between two others. `usual` is marked below the track, and pressing it goes back to it.
 * @param {{label: string, min: number, max: number, step: number, value: number, usual?: number, unit?: string, note?: any,
 *   fault?: string, id?: string, onChange: (value: number) => void}} props
 */
export function Slider({ label, min, max, step, value, usual, unit = "", note, fault, id, onChange }) {
  const share = usual === undefined ? 0 : (usual - min) / (max - min);
  const shown = html`<output class="numbers">${value}${unit}</output>`;
  return html`<${Field} label=${label} note=${note} fault=${fault} id=${id} side=${shown}>
    ${(/** @type {any} */ ids) => html`<div class="slider">
      <input ...${ids} type="range" min=${min} max=${max} step=${step} value=${value} style=${{ "--at": `${((value - min) / (max - min)) * 100}%` }}
        onInput=${(/** @type {any} */ event) => onChange(Number(event.target.value))} />
      <div class="ends" aria-hidden="true"><span>${min}</span><span>${max}</span></div>
      ${usual !== undefined &&
      html`<button type="button" class="usual" style=${{ "--share": `${share}` }} onClick=${() => onChange(usual)}
        aria-label="Back to the usual ${usual}${unit}" title="Usual: ${usual}${unit}"></button>`}
    </div>`}
  </${Field}>`;
}
