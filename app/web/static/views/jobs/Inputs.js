// What a job was made of, and where to find it at fal.

import { html } from "../../core/html.js";
import { isAdministrator } from "../../core/session.js";
import { label } from "../../core/words.js";
import { Copy } from "../../ui/Copy.js";
import { Section } from "./History.js";
import { InputFile, kindOfName } from "./media.js";
import { clockTime } from "./words.js";

/** Every member of the input. @param {{input: any}} props */
export function Inputs({ input }) {
  if (input === null) return html`<${Section} title="Input"><p class="note">It was erased.</p></${Section}>`;
  return html`<${Section} title="Input"><dl class="members">
    ${Object.entries(input).map(([name, value]) => html`<div key=${name}><dt>${label(name)}</dt><dd><${Value} name=${name} value=${value} /></dd></div>`)}
  </dl></${Section}>`;
}

/** A value as one reads it: files are shown, lists are numbered, everything else is text. @param {{name: string, value: any}} props @returns {any} */
function Value({ name, value }) {
  const kind = kindOfName(name);
  if (Array.isArray(value)) return html`<ol class="values">${value.map((one, at) => html`<li key=${at}><${Value} name=${name} value=${one} /></li>`)}</ol>`;
  if (kind && value && (typeof value === "string" || typeof value.sha256 === "string" || typeof value.url === "string")) return html`<${InputFile} file=${value} kind=${kind} />`;
  if (value && typeof value === "object") {
    return html`<dl class="members inner">${Object.entries(value).map(([inner, part]) => html`<div key=${inner}><dt>${label(inner)}</dt><dd><${Value} name=${inner} value=${part} /></dd></div>`)}</dl>`;
  }
  if (typeof value === "boolean") return value ? "Yes" : "No";
  return html`<span class="value-text">${value === null ? "nothing" : name === "duration" ? `${value} s` : `${value}`}</span>`;
}

/** Where to look for it at fal: for administrators. @param {{job: any}} props */
export function AtFal({ job }) {
  if (!isAdministrator()) return null;
  /** @type {[string, string | null][]} */
  const facts = [["Request", job.upstream_request_id], ["Tag", job.fal_tag], ["fal's last word", job.upstream_status], ["Model", job.model]];
  /** @type {[string, string | null][]} */
  const times = [["Sent", job.claimed_at], ["Held since", job.held_at], ["Accepted", job.submitted_at]];
  return html`<${Section} title="At fal"><dl class="members">
    ${facts.filter(([, value]) => value).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd class="copied"><code>${value}</code><${Copy} text=${value} label="Copy: ${name}" /></dd></div>`)}
    ${times.filter(([, at]) => at).map(([name, at]) => html`<div key=${name}><dt>${name}</dt><dd><time datetime=${at}>${clockTime(/** @type {string} */ (at))}</time></dd></div>`)}
  </dl></${Section}>`;
}

/** The names and values that whoever submitted it gave it; each leads to the others that have it. @param {{job: any}} props */
export function Metadata({ job }) {
  const pairs = Object.entries(job.metadata ?? {});
  if (!pairs.length) return null;
  return html`<${Section} title="Metadata"><dl class="members">
    ${pairs.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd><a href="/jobs?${new URLSearchParams({ [`metadata.${name}`]: `${value}` })}" title="Jobs with the same">${value}</a></dd></div>`)}
  </dl></${Section}>`;
}
