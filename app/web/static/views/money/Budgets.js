import { get } from "../../core/api.js";
import { html, useEffect, useState } from "../../core/html.js";
import { persist } from "../../core/retry.js";
import { me, refreshMe } from "../../core/session.js";
import { amountWords, limitWords, ownerWords, share, usedWords, windowWords } from "../../core/words.js";
import { Bar } from "../../ui/Bar.js";
import { Button } from "../../ui/Button.js";
import { Empty } from "../../ui/Empty.js";
import { Notice } from "../../ui/Notice.js";
import { Spinner } from "../../ui/Spinner.js";
import { Unread, useReading } from "../admin/reading.js";
import { byTightness, momentWords } from "./report.js";

const PRESENT = new Set(["concurrent", "queued"]); // windows that count what there is now

/** @typedef {import("../../core/shapes.js").LimitState} LimitState */

/** The limits that hold for the caller, the one that ends first on top. */
export function Budgets() {
  const [fault, setFault] = useState("");
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const shown = new AbortController();
    setFault("");
    persist(refreshMe, shown.signal).catch((/** @type {Error} */ error) => setFault(error.message));
    return () => shown.abort();
  }, [turn]);
  return html`<section aria-label="Budgets" class="stack">
    <h2>Budgets</h2>
    ${fault && html`<${Notice} tone="bad" actions=${html`<${Button} onPress=${() => setTurn(turn + 1)}>Try again</${Button}>`}>${fault}</${Notice}>`}
    ${me.value ? html`<${Own} limits=${me.value.limits} />` : html`<div class="money-wait"><${Spinner} label="Reading the limits" /></div>`}
  </section>`;
}

/** @param {{limits: LimitState[]}} props */
function Own({ limits }) {
  if (!limits.length) {
    return html`<div class="panel"><${Empty} icon="money" title="No limits" text="Nothing limits what you spend. An administrator can set a limit for you or for your team." /></div>`;
  }
  return html`<${Cards} limits=${limits} /><p class="note">${TOLD} the team's webhook endpoints are told, and whoever follows its events.</p>`;
}

/** The limits of one team, or of the whole gateway, for an administrator. @param {{team: {id: string, name: string} | null}} props */
export function BudgetsOf({ team }) {
  const path = team ? `admin/teams/${team.id}` : "admin";
  const { value, fault, again } = useReading((signal) => get(`${path}/limits`, { signal }), [path]);
  const change = team ? `/admin/people?team=${team.id}` : "/admin/limits";
  const limits = value && value.data.map((/** @type {any} */ one) => ({ ...one, ...one.state, owner: team ? "team" : "gateway" }));
  return html`<section aria-label="Budgets" class="stack">
    <div class="row money-head"><h2>${team ? `Budgets of ${team.name}` : "Budgets of the whole gateway"}</h2><span class="push"><${Button} href=${change}>Change the limits</${Button}></span></div>
    ${!limits && html`<${Unread} fault=${fault} again=${again} label="Reading the limits" />`}
    ${limits && (limits.length
      ? html`<${Cards} limits=${limits} /><p class="note">${TOLD} ${team ? "the team's webhook endpoints are told, and whoever follows its events." : "an alarm is raised."}</p>`
      : html`<p class="note">${team ? "The team has no limit of its own: its users' and the gateway's count." : "Nothing limits all teams together: their own limits count."}</p>`)}
  </section>`;
}

const TOLD = "At 50, 80 and 100 % of a limit in dollars";
const MARKS = [0.5, 0.8];

/** @param {{limits: LimitState[]}} props */
const Cards = ({ limits }) => html`<ul class="budgets">${byTightness(limits).map((limit) => html`<${Budget} key=${`${limit.owner} ${limit.unit} ${limit.window}`} limit=${limit} />`)}</ul>`;

/** How far a budget is gone, where somebody is told; empty below the half. @param {LimitState} limit @returns {[string, string]} */
function alertOf(limit) {
  const gone = share(limit);
  if (limit.unit !== "usd" || gone < MARKS[0]) return ["", ""];
  if (gone >= 1) return ["bad", limit.resets_at ? "Used up: nothing can be made until it begins anew." : "Used up: nothing can be made until somebody raises it."];
  return gone >= MARKS[1] ? ["hold", "More than 80 % is used or set aside."] : ["", "More than half is used or set aside."];
}

/** @param {string} text */
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** @param {{limit: LimitState}} props */
function Budget({ limit }) {
  const { unit, window, owner, left, resets_at: resets } = limit;
  const [tone, alert] = alertOf(limit);
  return html`<li class="panel budget numbers">
    <h3>${capital(ownerWords(owner))} ${limitWords(limit)}</h3>
    <p class="budget-left"><b>${amountWords(unit, left)}</b> left ${windowWords(window)}</p>
    <${LimitBar} limit=${limit} />
    ${alert && html`<p class="budget-alert ${tone}">${alert}</p>`}
    <p class="note">${usedWords(limit)}</p>
    <p class="note">${PRESENT.has(window) ? "Each counts until it ends" : resets ? html`Begins anew on <time datetime=${resets}>${momentWords(resets)}</time>` : "Does not begin anew"}</p>
  </li>`;
}

/** How much of a limit is used and set aside. @param {{limit: LimitState, whose?: string}} props */
export function LimitBar({ limit, whose = ownerWords(limit.owner) }) {
  const amount = Number(limit.amount);
  const held = amount > 0 ? Math.min(share(limit), Number(limit.held) / amount) : 0;
  const label = `${Math.round(share(limit) * 100)} % of ${whose} ${limitWords(limit)} is used or set aside`;
  return html`<${Bar} used=${Math.max(0, share(limit) - held)} held=${held} label=${label} marks=${limit.unit === "usd" ? MARKS : undefined} />`;
}
