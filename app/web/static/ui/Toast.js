import { batch, effect, html, signal } from "../core/html.js";
import { session } from "../core/session.js";

const SHOWN_MS = 6000;

/** @type {import("../core/html.js").Signal<{id: number, text: string, tone: string}[]>} */
const toasts = signal([]);
let count = 0;

const said = signal("");

/** Tells screen readers something that everybody else sees. @param {string} text */
export const say = (text) => (said.value = text);

/** Says something for a few seconds, to screen readers too. @param {string} text @param {{tone?: "" | "good" | "bad"}} [options] */
export function toast(text, { tone = "" } = {}) {
  const id = (count += 1);
  toasts.value = [...toasts.value.slice(-2), { id, text, tone }];
  setTimeout(() => (toasts.value = toasts.value.filter((one) => one.id !== id)), SHOWN_MS);
}

// What was said to one person is not there for the next.
effect(() => {
  if (session.value.state !== "out") return;
  batch(() => {
    toasts.value = [];
    said.value = "";
  });
});

/** Where toasts appear: once, in the shell. */
export const Toasts = () => html`<p class="unseen" aria-live="polite">${said.value}</p><div class="toasts" role="status" aria-live="polite">
  ${toasts.value.map(({ id, text, tone }) => html`<p key=${id} class=${tone}>${text}</p>`)}
</div>`;
