import { get } from "../../core/api.js";
import { html, useEffect, useRef, useState } from "../../core/html.js";
import { fileSize, limitWords, plural } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Empty } from "../../ui/Empty.js";
import { Notice } from "../../ui/Notice.js";
import { Time } from "../../ui/Time.js";
import { Unread } from "./reading.js";

const PAGE = 50;

/** @typedef {import("../../core/shapes.js").Act} Act */

/** Names of the teams, users and keys that there are, by id. @returns {Promise<Map<string, string>>} */
async function readNames() {
  const lists = await Promise.all([get("admin/teams"), get("admin/users"), get("admin/keys")].map((one) => one.catch(() => ({ data: [] }))));
  const all = /** @type {{id: string, name?: string | null}[]} */ (lists.flatMap(({ data }) => data));
  return new Map(all.flatMap(({ id, name }) => (name ? [[id, name]] : [])));
}

/** Who did what, the newest first. */
export function Audit() {
  const [names, setNames] = useState(/** @type {Map<string, string>} */ (new Map()));
  const [acts, setActs] = useState(/** @type {Act[]} */ ([]));
  const [next, setNext] = useState(/** @type {string | null} */ ("")); // null: that was all
  const [fault, setFault] = useState("");
  const busy = useRef(false);
  const more = async () => {
    if (busy.current || next === null) return;
    busy.current = true;
    setFault("");
    try {
      const page = await get(`admin/audit?limit=${PAGE}${next && `&cursor=${encodeURIComponent(next)}`}`);
      setActs((before) => [...before, ...page.data]);
      setNext(page.next_cursor);
    } catch (error) {
      setFault(/** @type {Error} */ (error).message);
    }
    busy.current = false;
  };
  useEffect(() => {
    more();
    readNames().then(setNames);
  }, []);
  return html`<div class="stack">
    <${Check} />
    ${acts.length > 0 && html`<section class="panel" aria-label="The audit log"><div class="table-scroll" tabindex="0"><table class="table acts"><thead>
      <tr><th scope="col" class="number">No.</th><th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th><th scope="col">To what</th><th scope="col">Details</th></tr></thead>
      <tbody>${acts.map((act) => html`<tr key=${act.number}><td class="number soft">${act.number}</td><td><${Time} at=${act.at} /></td><td class="who"><${Named} id=${act.actor} names=${names} /></td>
        <td><code>${act.action}</code></td><td class="who"><${Named} id=${act.target} names=${names} /></td><td>${wordsOf(act.details, names)}</td></tr>`)}</tbody></table></div></section>`}
    ${!acts.length && next === null && html`<${Empty} icon="admin" title="Nothing was done yet" text="Each administrative act is written here: who, what, when, and to whom."><${Button} href="/admin/people">People and keys</${Button}></${Empty}>`}
    ${(fault || (!acts.length && next !== null)) && html`<${Unread} fault=${fault} again=${more} label="Reading the audit log" />`}
    ${!fault && acts.length > 0 && next !== null && html`<div class="row"><${Button} onPress=${more}>Show older ones</${Button}></div>`}
  </div>`;
}

const ID = /^[a-z]+_[0-9a-f]{32}$/;
const SHOWN = 14; // characters of an id without a name

/** Somebody or something by name, and its id on hover; what is gone or has no name by the beginning of its id. @param {{id: string, names: Map<string, string>}} props */
function Named({ id, names }) {
  const name = names.get(id);
  if (name) return html`<span title=${id}>${name}</span>`;
  return ID.test(id) ? html`<code title=${id}>${id.slice(0, SHOWN)}…</code>` : id;
}

/** A detail in words: limits as one says them, lists with commas, ids by name. @param {any} value @param {Map<string, string>} names @returns {string} */
function said(value, names) {
  if (Array.isArray(value)) return value.map((one) => said(one, names)).join(", ");
  if (value?.unit && value.window) return limitWords(value);
  return typeof value === "string" ? (names.get(value) ?? value) : JSON.stringify(value);
}

/** What was not given is left out. @param {unknown} value */
const isEmpty = (value) => value === null || value === "" || (Array.isArray(value) && !value.length);

/** @param {Record<string, unknown>} details @param {Map<string, string>} names */
const wordsOf = (details, names) =>
  Object.entries(details)
    .filter(([, value]) => !isEmpty(value))
    .map(([name, value]) => (name === "storage_bytes" ? `storage: ${bytesOf(Number(value))}` : `${name.replaceAll("_", " ")}: ${said(value, names)}`))
    .join("; ");

/** @param {number} bytes */
const bytesOf = (bytes) => (bytes < 0 ? "no limit" : fileSize(bytes));

/** Whether the log is as it was written: each line carries the hash of the one before. */
function Check() {
  const [verdict, setVerdict] = useState(/** @type {{lines: number, intact: boolean, broken_at: number | null} | null} */ (null));
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState("");
  const check = async () => {
    setBusy(true);
    setFault("");
    try {
      setVerdict(await get("admin/audit/verify"));
    } catch (error) {
      setFault(/** @type {Error} */ (error).message);
    }
    setBusy(false);
  };
  return html`<section class="panel stack" aria-label="Check the log">
    <div class="row"><p>Each line holds the hash of the one before, so a line that was changed or taken away shows.</p>
      <span class="push"><${Button} busy=${busy} onPress=${check}>Check it</${Button}></span></div>
    ${fault && html`<${Notice} tone="bad">${fault}</${Notice}>`}
    ${!fault && verdict && (verdict.intact
      ? html`<${Notice} tone="good">Intact: all ${plural(verdict.lines, "line")} are as they were written.</${Notice}>`
      : html`<${Notice} tone="bad">Broken at line ${verdict.broken_at}: it or the one before it was changed or taken away. Compare it with your backup, and ask who could write to the store.</${Notice}>`)}
  </section>`;
}
