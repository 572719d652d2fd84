import { html, useEffect, useState } from "../../core/html.js";
import { persist } from "../../core/retry.js";
import { setQuery } from "../../core/router.js";
import { isAdministrator, may } from "../../core/session.js";
import { dollars, plural } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Empty } from "../../ui/Empty.js";
import { Notice } from "../../ui/Notice.js";
import { Segments } from "../../ui/Segments.js";
import { Spinner } from "../../ui/Spinner.js";
import { Chart } from "./Chart.js";
import { Download } from "./Download.js";
import { Sums } from "./Sums.js";
import { GROUPS, MEASURES, PERIODS, daysOf, readUsage } from "./report.js";

/** The groupings that say something to this visitor. @param {string} team */
function groups(team) {
  if (isAdministrator() && !team) return [{ value: "team", label: "Team" }, ...GROUPS];
  return may("team:read") ? GROUPS : GROUPS.filter(({ value }) => value !== "user");
}

/**
 * What was spent: a chart by day, and a table by what one chooses. `team`: the id and name of the one that an administrator looks at.
 * @param {{query: URLSearchParams, team?: {id: string, name: string} | null}} props
 */
export function Usage({ query, team = null }) {
  const options = groups(team?.id ?? "");
  const chosen = (/** @type {string} */ name, /** @type {{value: string}[]} */ all) =>
    all.find(({ value }) => value === query.get(name))?.value ?? all[0].value;
  const [period, group] = [chosen("period", PERIODS), chosen("group", options)];
  const measure = MEASURES.find(({ value }) => value === query.get("measure")) ?? MEASURES[0];
  const { found, fault, busy, again } = useUsage({ period, group, team: team?.id ?? "" });
  const whose = team ? `Usage of ${team.name}` : isAdministrator() ? "Usage of all teams" : may("team:read") ? "The team's usage" : "Your usage";
  return html`<section aria-label="Usage" class="stack">
    <div class="row money-head"><h2>${whose}</h2>
      <div class="push"><${Segments} label="Period" hideLabel options=${PERIODS} value=${period} onChange=${(/** @type {string} */ value) => setQuery({ period: value })} /></div></div>
    ${fault && html`<${Notice} tone="bad" actions=${html`<${Button} onPress=${again}>Try again</${Button}>`}>${fault}</${Notice}>`}
    ${!found && !fault && html`<div class="money-wait tall"><${Spinner} label="Reading the usage" /></div>`}
    ${found && html`<div class="panel usage ${busy ? "busy" : ""}" aria-busy=${busy}>
      ${found.report.data.length
        ? html`<div class="row money-head"><${Total} report=${found.report} />
            <div class="push"><${Segments} label="Measure" hideLabel options=${MEASURES} value=${measure.value} onChange=${(/** @type {string} */ value) => setQuery({ measure: value })} /></div></div>
          <${Chart} days=${daysOf(found.byDay, measure)} measure=${measure} />
          <div class="row money-head"><${Segments} label="Group by" hideLabel options=${options} value=${group} onChange=${(/** @type {string} */ value) => setQuery({ group: value })} />
            <div class="push"><${Download} address=${found.address} /></div></div>
          <${Sums} report=${found.report} measure=${measure} />`
        : html`<${Nothing} period=${period} />`}
    </div>`}
  </section>`;
}

/** @param {{report: import("./report.js").Report}} props */
const Total = ({ report: { total, credits_usd: credits } }) => html`<p class="money-total numbers"><b>${dollars(total.spent_usd)}</b> spent
  <span class="note">${Number(total.held_usd) > 0 && `${dollars(total.held_usd)} set aside until fal's bill is known · `}${plural(total.jobs, "job")} · ${plural(total.video_seconds, "second")} of video${Number(credits) !== 0 && ` · credits of ${dollars(credits)} are not in it`}</span></p>`;

/** @param {{period: string}} props */
const Nothing = ({ period }) => html`<${Empty} icon="money" title="Nothing was spent in this period" text=${isAdministrator() ? "Nobody made a clip in it." : "What you make appears here the moment it is ordered."}>
  ${period !== "90" && html`<${Button} onPress=${() => setQuery({ period: "90" })}>Show 90 days</${Button}>`}
  ${!isAdministrator() && html`<${Button} kind="main" href="/">Make a clip</${Button}>`}
</${Empty}>`;

/** @typedef {Awaited<ReturnType<typeof readUsage>>} Found */

/** Reads when the choice changes; what was shown stays until the answer is there. @param {import("./report.js").Choice} choice */
function useUsage({ period, group, team }) {
  const [found, setFound] = useState(/** @type {Found | null} */ (null));
  const [fault, setFault] = useState("");
  const [busy, setBusy] = useState(true);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const shown = new AbortController();
    const { signal } = shown;
    const root = isAdministrator() ? "admin/usage" : "usage";
    setBusy(true);
    setFault("");
    persist(() => readUsage(root, { period, group, team }, signal), signal)
      .then((now) => now && setFound(now))
      .catch((/** @type {Error} */ error) => (setFound(null), setFault(error.message)))
      .finally(() => !signal.aborted && setBusy(false));
    return () => shown.abort();
  }, [period, group, team, turn]);
  return { found, fault, busy, again: () => setTurn(turn + 1) };
}
