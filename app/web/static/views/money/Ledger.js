import { get, serverNow } from "../../core/api.js";
import { html, useEffect, useRef, useState } from "../../core/html.js";
import { persist } from "../../core/retry.js";
import { setQuery } from "../../core/router.js";
import { dollars } from "../../core/words.js";
import { Badge } from "../../ui/Badge.js";
import { Button } from "../../ui/Button.js";
import { Empty } from "../../ui/Empty.js";
import { Notice } from "../../ui/Notice.js";
import { Select } from "../../ui/Select.js";
import { Spinner } from "../../ui/Spinner.js";
import { Time } from "../../ui/Time.js";
import { entryWords } from "../jobs/words.js";
import { Adjust } from "./Adjust.js";
import { Download } from "./Download.js";
import { addressOf, dateIn, later } from "./report.js";

const PAGE = 50;
const SHORT_ID = 12;
/** @type {Record<string, string>} */
const TONES = { settle: "accent", credit: "good", correction: "hold", dispute: "hold" };
const SPANS = [
  { value: "", label: "From the beginning" },
  { value: "month", label: "This month" },
  { value: "last", label: "Last month" },
  { value: "30", label: "30 days" },
];

/** @typedef {import("../../core/shapes.js").Entry} Entry */
/** @typedef {import("../../core/shapes.js").Team} Team */
/** @type {{entries: Entry[], cursor: string | null, whole: boolean, busy: boolean, fault: string}} */
const NOTHING = { entries: [], cursor: null, whole: false, busy: true, fault: "" };

/** The dates of a span in a time zone; the last one is not in it. @param {string} span @param {string} zone @returns {{from?: string, to?: string}} */
function datesOf(span, zone) {
  const today = dateIn(serverNow(), zone);
  const month = `${today.slice(0, 8)}01`;
  if (span === "month") return { from: month };
  if (span === "last") return { from: `${later(month, -1).slice(0, 8)}01`, to: month };
  return span === "30" ? { from: later(today, -29) } : {};
}

/** Every movement of a team's money, newest first; credits and corrections are made here. @param {{team: Team, query: URLSearchParams}} props */
export function Ledger({ team, query }) {
  const span = SPANS.find(({ value }) => value === query.get("ledger"))?.value ?? "";
  const address = addressOf("admin/ledger", { team: team.id, ...datesOf(span, team.time_zone) });
  const [found, setFound] = useState(NOTHING);
  const [asked, setAsked] = useState("");
  const names = useNames(team.id);
  const shown = useRef(/** @type {AbortController | null} */ (null));
  /** @param {typeof NOTHING} now */
  const read = async (now) => {
    const { signal } = shown.current ?? new AbortController();
    setFound({ ...now, busy: true, fault: "" });
    try {
      const page = await persist(() => get(`${address}&limit=${PAGE}${now.cursor ? `&cursor=${now.cursor}` : ""}`, { signal }), signal);
      if (page) setFound({ entries: [...now.entries, ...page.data], cursor: page.next_cursor, whole: !page.next_cursor, busy: false, fault: "" });
    } catch (error) {
      if (!signal.aborted) setFound({ ...now, busy: false, fault: /** @type {Error} */ (error).message });
    }
  };
  useEffect(() => {
    const mine = new AbortController();
    shown.current = mine;
    read(NOTHING);
    return () => mine.abort();
  }, [address]);
  const { entries, whole, busy, fault } = found;
  return html`<section aria-label="Ledger" class="stack">
    <div class="row money-head"><h2>Ledger of ${team.name}</h2>
      <span class="push row"><${Button} icon="plus" onPress=${() => setAsked("credit")}>Credit …</${Button}><${Button} onPress=${() => setAsked("correct")}>Correct …</${Button}></span></div>
    <div class="panel stack ledger">
      <div class="row ledger-head"><${Select} label="Span" options=${SPANS} value=${span} onChange=${(/** @type {string} */ value) => setQuery({ ledger: value })} />
        ${entries.length > 0 && html`<div class="push"><${Download} address=${address} /></div>`}</div>
      ${entries.length > 0 && html`<div class="table-scroll" tabindex="0" role="region" aria-label="Table of the ledger"><table class="table entries"><thead>
        <tr><th scope="col">What</th><th scope="col" class="number">Amount</th><th scope="col">Who</th><th scope="col">Job</th><th scope="col">When</th></tr></thead>
        <tbody>${entries.map((entry) => html`<${Line} key=${entry.id} entry=${entry} names=${names} />`)}</tbody></table></div>`}
      ${whole && !entries.length && html`<${Empty} icon="money" title="No money moved" text=${span ? "Nothing was set aside, charged or credited in this span." : "The first clip, credit or correction is written here."} />`}
      ${busy && !entries.length && html`<div class="money-wait"><${Spinner} label="Reading the ledger" /></div>`}
      ${fault && html`<${Notice} tone="bad" actions=${html`<${Button} onPress=${() => read(found)}>Try again</${Button}>`}>${fault}</${Notice}>`}
      ${!whole && !fault && entries.length > 0 && html`<div class="row"><${Button} busy=${busy} onPress=${() => read(found)}>Show older ones</${Button}></div>`}
    </div>
    ${asked && html`<${Adjust} kind=${asked} team=${team} onDone=${() => read(NOTHING)} onClose=${() => setAsked("")} />`}
  </section>`;
}

/** @param {{entry: Entry, names: Map<string, string> | null}} props */
function Line({ entry, names }) {
  const { type, amount_usd: amount, user, key, job, at, reason } = entry;
  const [what, why] = entryWords({ type, reason });
  const added = type === "credit" || (type === "correction" && !amount.startsWith("-"));
  return html`<tr><td><${Badge} tone=${TONES[type]}>${what}</${Badge}><p class="note">${why}</p></td>
    <td class="number">${added ? "+" : ""}${dollars(amount)}</td>
    <td>${user ? html`${names?.get(user) ?? (names ? "a deleted user" : "…")}${key && names?.get(key) && html`<p class="note">${names.get(key)}</p>`}` : html`<span class="soft">administrator</span>`}</td>
    <td>${job ? html`<a href="/jobs/${job}"><code>${job.slice(0, SHORT_ID)}…</code></a>` : html`<span class="soft">none</span>`}</td>
    <td><${Time} at=${at} /></td></tr>`;
}

/** The names of a team's users and keys by their ids; null until they are read, and without them if they cannot be. @param {string} team */
function useNames(team) {
  const [names, setNames] = useState(/** @type {Map<string, string> | null} */ (null));
  useEffect(() => {
    const shown = new AbortController();
    const { signal } = shown;
    const read = async () => {
      const both = await Promise.all([get(`admin/users?team=${team}`, { signal }), get(`admin/keys?team=${team}`, { signal })]);
      return new Map(both.flatMap(({ data }) => data.map((/** @type {{id: string, name: string}} */ one) => /** @type {const} */ ([one.id, one.name]))));
    };
    persist(read, signal).then((now) => now && setNames(now)).catch(() => !signal.aborted && setNames(new Map()));
    return () => shown.abort();
  }, [team]);
  return names;
}
