import { html, useEffect, useState } from "../../core/html.js";
import { persist } from "../../core/retry.js";
import { me, refreshMe } from "../../core/session.js";
import { amountWords, limitWords, ownerWords, share, windowWords } from "../../core/words.js";
import { Bar } from "../../ui/Bar.js";
import { Button } from "../../ui/Button.js";
import { Empty } from "../../ui/Empty.js";
import { Notice } from "../../ui/Notice.js";
import { Spinner } from "../../ui/Spinner.js";
import { byTightness, momentWords } from "./report.js";

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
  return html`<ul class="budgets">${byTightness(limits).map((limit) => html`<${Budget} key=${`${limit.owner} ${limit.unit} ${limit.window}`} limit=${limit} />`)}</ul>`;
}

/** @param {string} text */
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** @param {{limit: LimitState}} props */
function Budget({ limit }) {
  const { unit, window, owner, used, held, left, resets_at: resets } = limit;
  return html`<li class="panel budget numbers">
    <h3>${capital(ownerWords(owner))} ${limitWords(limit)}</h3>
    <p class="budget-left"><b>${amountWords(unit, left)}</b> left ${windowWords(window)}</p>
    <${LimitBar} limit=${limit} />
    <p class="note">${amountWords(unit, used)} used, ${amountWords(unit, held)} held</p>
    <p class="note">${resets ? html`Begins anew on <time datetime=${resets}>${momentWords(resets)}</time>` : "Does not begin anew"}</p>
  </li>`;
}

/** How much of a limit is used and held. @param {{limit: LimitState, whose?: string}} props */
export function LimitBar({ limit, whose = ownerWords(limit.owner) }) {
  const amount = Number(limit.amount);
  const held = amount > 0 ? Math.min(share(limit), Number(limit.held) / amount) : 0;
  const label = `${Math.round(share(limit) * 100)} % of ${whose} ${limitWords(limit)} is used or held`;
  return html`<${Bar} used=${Math.max(0, share(limit) - held)} held=${held} label=${label} />`;
}
