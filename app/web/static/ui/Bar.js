import { html } from "../core/html.js";

/**
 * A share of a whole: what is used, and after it what is held. Numbers from 0 to 1; `label` says it in words. `marks` are
 * shares at which somebody is told.
 * @param {{used: number, held?: number, label: string, marks?: number[]}} props
 */
export function Bar({ used, held = 0, label, marks = [] }) {
  const full = used + held;
  const tone = full >= 1 ? "full" : full >= 0.8 ? "near" : "";
  return html`<div class="bar ${tone}" role="img" aria-label=${label}>
    <span style=${{ width: `${Math.min(1, used) * 100}%` }}></span><span class="held" style=${{ width: `${Math.min(1 - Math.min(1, used), held) * 100}%` }}></span>
    ${marks.map((at) => html`<i key=${at} style=${{ left: `${at * 100}%` }}></i>`)}
  </div>`;
}
