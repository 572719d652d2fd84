import { html } from "../core/html.js";
import { STATES } from "../core/words.js";

/** @type {Record<string, string>} */
const TONES = { succeeded: "good", failed: "bad", held: "hold", submitting: "busy", running: "busy", finalizing: "busy" };

/** A short fact. @param {{tone?: string, children?: any}} props */
export const Badge = ({ tone = "", children }) => html`<span class="badge ${tone}">${children}</span>`;

/** A job's state. @param {{status: string}} props */
export const State = ({ status }) => html`<${Badge} tone="dot ${TONES[status] ?? ""}">${STATES[status] ?? status}</${Badge}>`;
