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
import { toast } from "../../ui/Toast.js";
import { Chart } from "./Chart.js";
import { Sums } from "./Sums.js";
import { GROUPS, PERIODS, daysOf, download, readUsage } from "./report.js";

/** The groupings that say something to this visitor. */
function groups() {
  if (isAdministrator()) return [{ value: "team", label: "Team" }, ...GROUPS];
  return may("team:read") ? GROUPS : GROUPS.filter(({ value }) => value !== "user");
}

/** What was spent: a chart by day, and a table by what one chooses. @param {{query: URLSearchParams}} props */
export function Usage({ query }) {
  const options = groups();
  const chosen = (/** @type {string} */ name, /** @type {{value: string}[]} */ all) =>
    all.find(({ value }) => value === query.get(name))?.value ?? all[0].value;
  const [period, group] = [chosen("period", PERIODS), chosen("group", options)];
  const { found, fault, busy, again } = useUsage({ period, group });
  const whose = isAdministrator() ? "Usage of all teams" : may("team:read") ? "The team's usage" : "Your usage";
  return html`<section aria-label="Usage" class="stack">
    <div class="row money-head"><h2>${whose}</h2>
      <div class="push"><${Segments} label="Period" hideLabel options=${PERIODS} value=${period} onChange=${(/** @type {string} */ value) => setQuery({ period: value })} /></div></div>
    ${fault && html`<${Notice} tone="bad" actions=${html`<${Button} onPress=${again}>Try again</${Button}>`}>${fault}</${Notice}>`}
    ${!found && !fault && html`<div class="money-wait tall"><${Spinner} label="Reading the usage" /></div>`}
    ${found && html`<div class="panel usage ${busy ? "busy" : ""}" aria-busy=${busy}>
      ${found.report.data.length
        ? html`<${Total} report=${found.report} /><${Chart} days=${daysOf(found.byDay)} />
          <div class="row money-head"><${Segments} label="Group by" hideLabel options=${options} value=${group} onChange=${(/** @type {string} */ value) => setQuery({ group: value })} />
            <div class="push"><${Download} address=${found.address} /></div></div>
          <${Sums} report=${found.report} />`
        : html`<${Nothing} period=${period} />`}
    </div>`}
  </section>`;
}

/** @param {{report: import("./report.js").Report}} props */
const Total = ({ report: { total, credits_usd: credits } }) => html`<p class="money-total numbers"><b>${dollars(total.spent_usd)}</b> spent
  <span class="note">${Number(total.held_usd) > 0 && `${dollars(total.held_usd)} held until fal's bill is known · `}${plural(total.jobs, "job")} · ${plural(total.video_seconds, "second")} of video${Number(credits) !== 0 && ` · credits of ${dollars(credits)} are not in it`}</span></p>`;

/** @param {{period: string}} props */
const Nothing = ({ period }) => html`<${Empty} icon="money" title="Nothing was spent in this period" text=${isAdministrator() ? "Nobody made a clip in it." : "What you make appears here the moment it is ordered."}>
  ${period !== "90" && html`<${Button} onPress=${() => setQuery({ period: "90" })}>Show 90 days</${Button}>`}
  ${!isAdministrator() && html`<${Button} kind="main" href="/">Make a clip</${Button}>`}
</${Empty}>`;

/** @param {{address: string}} props */
function Download({ address }) {
  const [busy, setBusy] = useState(false);
  const save = () => {
    setBusy(true);
    download(address)
      .catch((/** @type {Error} */ error) => toast(`The file was not made. ${error.message}`, { tone: "bad" }))
      .finally(() => setBusy(false));
  };
  return html`<${Button} icon="down" busy=${busy} onPress=${save}>Download CSV</${Button}>`;
}

/** @typedef {Awaited<ReturnType<typeof readUsage>>} Found */

/** Reads when the choice changes; what was shown stays until the answer is there. @param {import("./report.js").Choice} choice */
function useUsage({ period, group }) {
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
    persist(() => readUsage(root, { period, group }, signal), signal)
      .then((now) => now && setFound(now))
      .catch((/** @type {Error} */ error) => (setFound(null), setFault(error.message)))
      .finally(() => !signal.aborted && setBusy(false));
    return () => shown.abort();
  }, [period, group, turn]);
  return { found, fault, busy, again: () => setTurn(turn + 1) };
}
