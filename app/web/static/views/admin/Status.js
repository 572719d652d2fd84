import { get, post } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { plural } from "../../core/words.js";
import { Badge } from "../../ui/Badge.js";
import { Bar } from "../../ui/Bar.js";
import { Button } from "../../ui/Button.js";
import { Confirm } from "../../ui/Confirm.js";
import { Notice } from "../../ui/Notice.js";
import { Select } from "../../ui/Select.js";
import { Time } from "../../ui/Time.js";
import { Form, Text } from "./Form.js";
import { Unread, useReading } from "./reading.js";

const EVERY_MS = 4000;
const PAST = 8;
/** @type {Record<string, string>} */
const ROLES = { work: "Workers at jobs", lanes: "Lanes to fal", deliveries: "Senders of webhooks", storage: "Keepers of clips", supervisor: "Supervisors" };

/** @typedef {import("../../core/shapes.js").Overview} Overview */
/** @typedef {Overview["pauses"][number]} Pause */

/** A sentence that goes on in another. @param {string} sentence */
const bare = (sentence) => sentence.replace(/\.$/, "");

/** @param {{title: string, wide?: boolean, side?: any, children?: any}} props */
const Tile = ({ title, wide, side, children }) => html`<section class="panel stack tile ${wide ? "whole" : ""}" aria-label=${title}>
  <div class="row"><h2>${title}</h2>${side && html`<span class="push">${side}</span>`}</div>${children}</section>`;

/** How everything stands, read again every few seconds. */
export function Status() {
  const { value, fault, again } = useReading((signal) => /** @type {Promise<Overview>} */ (get("admin/status", { signal })), [], EVERY_MS);
  if (!value) return html`<${Unread} fault=${fault} again=${again} label="Reading the status" />`;
  const { slots, breaker, held, aside, alerts } = value;
  return html`<div class="tiles numbers">
    ${fault && html`<div class="whole"><${Notice} tone="bad" actions=${html`<${Button} onPress=${again}>Try again</${Button}>`}>What you see is not the latest. ${fault}</${Notice}></div>`}
    <${Buying} status=${value} onChange=${again} />
    <${Tile} title="Slots at fal">
      <p class="figure">${slots.used} <span class="soft">of ${slots.allowed}</span></p>
      <${Bar} used=${slots.allowed ? slots.used / slots.allowed : 0} label="${slots.used} of ${slots.allowed} slots are in use" />
      <p class="note">${slots.allowed < slots.configured ? `${slots.configured} are configured. Fewer are used for now, because fal refused some.` : "So many clips are made at once."}</p>
      ${slots.hosts && html`<p class="note">The hosts are set differently: ${Object.entries(slots.hosts).map(([host, count]) => `${host} has ${count}`).join(", ")}. Set FILMGATE_UPSTREAM_CONCURRENCY alike.</p>`}
    </${Tile}>
    <${Tile} title="fal answers" side=${html`<${Badge} tone="dot ${breaker.open ? "bad" : breaker.half_open ? "hold" : "good"}">${breaker.open ? "no" : breaker.half_open ? "trying" : "yes"}</${Badge}>`}>
      <p>${breaker.open ? html`Nothing is sent to fal: ${bare(breaker.reason ?? "")}. ${breaker.until && html`It tries again <${Time} at=${breaker.until} />.`}` : breaker.half_open ? "One order is sent to see whether fal is back." : "The breaker is closed."}</p>
      <p class="note">${breaker.failures ? `${plural(breaker.failures, "failure")} in a row${breaker.last_failure ? `, the last: ${bare(breaker.last_failure)}` : ""}.` : "No failures in a row."}</p>
    </${Tile}>
    <${Tile} title="Held jobs" side=${held.count > 0 && html`<${Badge} tone="hold dot">look</${Badge}>`}>
      <p class="figure">${held.count}</p>
      ${held.count
        ? html`<p class="note">The oldest is held since <${Time} at=${held.oldest_at} />. Nothing is bought twice meanwhile.</p><div class="row"><${Button} href="/jobs?status=held">Look at the held jobs</${Button}></div>`
        : html`<p class="note">None waits for a decision.</p>`}
      ${aside.count > 0 && html`<p class="note">${plural(aside.count, "step")} ${aside.count === 1 ? "waits" : "wait"} for an operator after many failures, the oldest <${Time} at=${aside.oldest_at} />.</p>`}
    </${Tile}>
    <${Tile} title="Workers">
      ${Object.keys(value.workers).length
        ? html`<dl class="pairs">${Object.entries(value.workers).map(([lane, count]) => html`<div key=${lane}><dt>${ROLES[lane] ?? lane}</dt><dd>${count}</dd></div>`)}</dl>`
        : html`<${Notice} tone="bad">No worker is alive: jobs wait. Start <code>filmgate worker</code>.</${Notice}>`}
    </${Tile}>
    <${Queue} line=${value.line} />
    <${Alarms} status=${value} alerts=${alerts} />
  </div>`;
}

/** Whether clips are bought; pausing and resuming. @param {{status: Overview, onChange: () => any}} props */
function Buying({ status, onChange }) {
  const [pausing, setPausing] = useState(false);
  const [ending, setEnding] = useState(/** @type {Pause | null} */ (null));
  const { pauses, line } = status;
  const whole = status.upstream_paused !== null;
  const resume = async () => {
    await post("admin/resume", ending?.team ? { team: ending.team } : {});
    await onChange();
  };
  return html`<section class="panel stack whole buying ${whole ? "paused" : ""}" aria-label="Buying">
    <div class="row"><h2>${whole ? "Buying is paused" : pauses.length ? "Buying, but not for everybody" : "Buying"}</h2>
      ${!whole && html`<span class="push"><${Button} onPress=${() => setPausing(true)}>Pause …</${Button}></span>`}</div>
    ${!pauses.length && html`<p class="note">Clips are ordered at fal as their turn comes.</p>`}
    ${pauses.length > 0 && html`<ul class="things">${pauses.map((pause) => html`<li key=${`${pause.team}-${pause.reason}`}>
      <div><b>${pause.team ? pause.name ?? pause.team : "The whole gateway"}</b><p>${pause.reason}</p>
        ${pause.paused_by && html`<p class="note">Paused by ${pause.paused_by}, <${Time} at=${pause.paused_at} /></p>`}</div>
      <${Button} kind="main" onPress=${() => setEnding(pause)}>Resume …</${Button}></li>`)}</ul>
      <p class="note">New jobs wait in line. What is at fal already is finished and paid.</p>`}
    ${pausing && html`<${AskPause} line=${line} onDone=${onChange} onClose=${() => setPausing(false)} />`}
    ${ending && html`<${Confirm} title="Buy again?" danger=${false} keep="Stay paused" action="Resume buying"
      text="${ending.team ? `The jobs of ${ending.name ?? ending.team}` : "All jobs"} in line are ordered at fal from now on, and cost money. It was paused because: ${ending.reason}"
      onConfirm=${resume} onClose=${() => setEnding(null)} />`}
  </section>`;
}

/** @param {{line: Overview["line"], onDone: () => any, onClose: () => void}} props */
function AskPause({ line, onDone, onClose }) {
  const [reason, setReason] = useState("");
  const [team, setTeam] = useState("");
  const { value } = useReading((signal) => get("admin/teams", { signal }), []);
  /** @type {{id: string, name: string}[]} */
  const teams = value?.data ?? line.map((one) => ({ id: one.team, name: one.name }));
  const send = async () => {
    if (!reason.trim()) throw new Error("Give a reason: everybody whose jobs wait reads it.");
    await post("admin/pause", { reason: reason.trim(), ...(team && { team }) });
    await onDone();
    onClose();
  };
  return html`<${Form} title="Pause buying" action="Pause buying" onSend=${send} onClose=${onClose}>
    <p class="note">Jobs are still accepted and wait in line. What is at fal already is finished and paid.</p>
    <${Text} member="/reason" label="Reason" value=${reason} onInput=${setReason} note="Everybody whose jobs wait reads it." />
    <${Select} label="For whom" options=${[{ value: "", label: "The whole gateway" }, ...teams.map(({ id, name }) => ({ value: id, label: name }))]} value=${team} onChange=${setTeam} />
  </${Form}>`;
}

/** @param {{line: Overview["line"]}} props */
const Queue = ({ line }) => html`<${Tile} title="In line" wide side=${line.length > 0 && html`<span class="note">${plural(line.reduce((sum, { queued }) => sum + queued, 0), "job")} waiting</span>`}>
  ${line.length
    ? html`<div class="table-scroll"><table class="table"><thead><tr><th scope="col">Team</th><th scope="col" class="number">Waiting</th><th scope="col" class="number">At fal</th><th scope="col" class="number">Held</th><th scope="col" class="number">Weight</th></tr></thead>
      <tbody>${line.map((one) => html`<tr key=${one.team}><td>${one.name}</td><td class="number">${one.queued}</td><td class="number">${one.running}</td><td class="number">${one.held}</td><td class="number">${one.weight}</td></tr>`)}</tbody></table></div>`
    : html`<p class="note">No job waits, and none is at fal.</p>`}
</${Tile}>`;

/** @type {Record<string, [string, string]>} */
const SEVERITIES = { page: ["bad", "now"], ticket: ["hold", "soon"], note: ["", "note"] };

/** @param {{status: Overview, alerts: Overview["alerts"]}} props */
function Alarms({ status, alerts }) {
  const { active_alarms: active, alarms } = status;
  return html`<${Tile} title="Alarms" wide side=${html`<${Badge} tone="dot ${active.length ? "bad" : "good"}">${active.length ? `${active.length} open` : "none open"}</${Badge}>`}>
    ${!active.length && html`<p class="note">Nothing asks for you.</p>`}
    ${active.length > 0 && html`<ul class="things" aria-label="Open alarms">${active.map((one, at) => html`<li key=${at}><div><${Badge} tone=${SEVERITIES[one.severity]?.[0]}>${SEVERITIES[one.severity]?.[1] ?? one.severity}</${Badge}> ${one.message}</div>
      <span class="note"><code>${one.kind}</code> · <${Time} at=${one.at} /></span></li>`)}</ul>`}
    ${alarms.length > 0 && html`<details><summary>The latest, with those that are over</summary><ul class="things">${alarms.slice(0, PAST).map((one, at) => html`<li key=${at}>
      <div><${Badge}>${one.state}</${Badge}> ${one.message}</div><span class="note"><code>${one.kind}</code> · <${Time} at=${one.at} /></span></li>`)}</ul></details>`}
    <p class="note">${alerts.sent ? "Alarms are sent to your receiver." : "Alarms are sent nowhere: set FILMGATE_ALERT_WEBHOOK to be told."}
      ${alerts.failing_since && html` Sending fails since <${Time} at=${alerts.failing_since} />: ${bare(alerts.error ?? "")}.`}${alerts.waiting > 0 && ` ${plural(alerts.waiting, "alarm")} not sent yet.`}</p>
  </${Tile}>`;
}
