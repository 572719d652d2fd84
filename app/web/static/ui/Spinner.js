import { html } from "../core/html.js";

/** Something is on its way. With a `label`, a screen reader says it. @param {{label?: string}} props */
export function Spinner({ label }) {
  return html`<span class="spinner" role=${label ? "status" : undefined}>${label && html`<span class="unseen">${label}</span>`}</span>`;
}
