// What a job went through: its states, its money, its attempts at fal, and fal's log.

import { nowBySeconds } from "../../core/clock.js";
import { html } from "../../core/html.js";
import { ENDS, STATES, cost, dollars } from "../../core/words.js";
import { Badge } from "../../ui/Badge.js";
import { OUTCOMES, clockTime, entryWords, lasted, reasonWords } from "./words.js";

/** @type {Record<string, string>} */
const TONES = { succeeded: "good", failed: "bad", held: "hold", canceled: "" };

/** @type {Record<string, string>} */
const OUTCOME_TONES = { accepted: "good", refused: "bad", unknown: "hold" };

/** @param {{title: string, children?: any, side?: any}} props */
export const Section = ({ title, children, side }) => html`<section class="panel job-section" aria-label=${title}><div class="row"><h2>${title}</h2>${side && html`<span class="push note numbers">${side}</span>`}</div>${children}</section>`;

/** How long it was in each state. @param {{states: any[]}} props */
export function Timeline({ states }) {
  const last = states.at(-1);
  const over = ENDS.has(last.status);
  const ended = over ? Date.parse(last.at) : nowBySeconds();
  const whole = Math.max(1, ended - Date.parse(states[0].at));
  return html`<${Section} title="Timeline" side=${over ? `${lasted(whole / 1000)} in all` : ""}>
    <ol class="timeline">${states.map(({ status, at, until, reason }, index) => {
      const end = ENDS.has(status);
      const seconds = ((until ? Date.parse(until) : ended) - Date.parse(at)) / 1000;
      const from = ((Date.parse(at) - Date.parse(states[0].at)) / whole) * 100;
      return html`<li key=${index} class="${TONES[status] ?? "busy"} ${index === states.length - 1 ? "now" : ""}">
        <b>${STATES[status] ?? status}</b><time datetime=${at} title=${new Date(at).toLocaleString()}>${clockTime(at)}</time><span class="numbers">${end ? "" : lasted(seconds)}</span>
        ${!end && html`<span class="span" aria-hidden="true"><span style=${{ marginLeft: `${Math.min(99, from)}%`, width: `${Math.max(1, (seconds * 100_000) / whole)}%` }}></span></span>`}
        ${reason && html`<p class="note">${status === "queued" ? "In line again: " : ""}${reasonWords(reason)}.</p>`}
      </li>`;
    })}</ol>
  </${Section}>`;
}

/** The money, line by line. @param {{entries: any[], job: any}} props */
export function Entries({ entries, job }) {
  return html`<${Section} title="Money" side=${cost(job)}>
    <table class="table"><thead><tr><th scope="col">What</th><th scope="col" class="number">Amount</th><th scope="col" class="number">When</th></tr></thead>
      <tbody>${entries.map((entry) => {
        const [what, why] = entryWords(entry);
        return html`<tr key=${entry.id}><td>${what}<p class="note">${why}</p></td><td class="number">${dollars(entry.amount_usd)}</td>
          <td class="number"><time datetime=${entry.at} title=${new Date(entry.at).toLocaleString()}>${clockTime(entry.at)}</time></td></tr>`;
      })}</tbody></table>
  </${Section}>`;
}

/** Each submission to fal. @param {{attempts: any[]}} props */
export function Attempts({ attempts }) {
  return html`<${Section} title="Attempts at fal">
    ${attempts.length === 0
      ? html`<p class="note">It was not sent to fal yet.</p>`
      : html`<ol class="attempts">${attempts.map(
          ({ number, at, outcome, ended_at: ended, reason }) => html`<li key=${number}><span class="soft numbers">${number}</span>
            <div><${Badge} tone=${OUTCOME_TONES[outcome] ?? "busy"}>${OUTCOMES[outcome] ?? outcome}</${Badge}>
              ${reason && html`<p class="note">${reasonWords(reason)}</p>`}</div>
            <span class="note numbers"><time datetime=${at} title=${new Date(at).toLocaleString()}>${clockTime(at)}</time>${ended ? ` · ${lasted((Date.parse(ended) - Date.parse(at)) / 1000)}` : ""}</span></li>`,
        )}</ol>`}
  </${Section}>`;
}

/** What fal's runner said. @param {{lines: any[]}} props */
export function Logs({ lines }) {
  if (!lines.length) return null;
  return html`<${Section} title="fal's log"><ol class="log-lines" tabindex="0" aria-label="Lines of fal's log">
    ${lines.map((line, at) => {
      const time = typeof line.timestamp === "string" && !Number.isNaN(Date.parse(line.timestamp)) ? line.timestamp : "";
      return html`<li key=${at}>${time && html`<time datetime=${time} class="soft">${clockTime(time)}</time>`}<span>${line.message ?? JSON.stringify(line)}</span></li>`;
    })}
  </ol></${Section}>`;
}
