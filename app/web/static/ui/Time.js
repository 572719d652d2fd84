import { serverNow } from "../core/api.js";
import { html, signal } from "../core/html.js";
import { ago } from "../core/words.js";

const TICK_MS = 20_000;
const now = signal(Date.now());
setInterval(() => (now.value = Date.now()), TICK_MS);

/** A time as one says it, `5 minutes ago`; the exact one on hover. @param {{at: string | null | undefined}} props */
export function Time({ at }) {
  void now.value; // drawn again when it ticks
  if (!at) return html`<span class="soft">never</span>`;
  return html`<time datetime=${at} title=${new Date(at).toLocaleString()}>${ago(at, serverNow())}</time>`;
}
