import { nowRoughly } from "../core/clock.js";
import { html } from "../core/html.js";
import { ago } from "../core/words.js";

/** A time as one says it, `5 minutes ago`; the exact one on hover. @param {{at: string | null | undefined}} props */
export function Time({ at }) {
  if (!at) return html`<span class="soft">never</span>`;
  return html`<time datetime=${at} title=${new Date(at).toLocaleString()}>${ago(at, nowRoughly())}</time>`;
}
