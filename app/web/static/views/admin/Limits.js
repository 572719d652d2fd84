import { get, put } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { amountWords, limitWords, usedWords, windowWords } from "../../core/words.js";
import { Bar } from "../../ui/Bar.js";
import { Button } from "../../ui/Button.js";
import { Field } from "../../ui/Field.js";
import { Notice } from "../../ui/Notice.js";
import { Select } from "../../ui/Select.js";
import { Time } from "../../ui/Time.js";
import { Form } from "./Form.js";
import { UNITS, bodyOf, meaning, windowsOf } from "./kinds.js";
import { Unread, useReading } from "./reading.js";

/** @typedef {import("./kinds.js").Present} Present */

/** Limits with what is used, set aside and left. @param {{limits: Present[], none: string}} props */
export function LimitList({ limits, none }) {
  if (!limits.length) return html`<p class="note">${none}</p>`;
  const inOrder = limits.toSorted((one, other) => Number(other.unit === "usd") - Number(one.unit === "usd")); // money first
  return html`<ul class="limit-list numbers">${inOrder.map((limit) => {
    const { unit, window, amount, used, held, left, resets_at: resets, rule } = limit;
    const whole = Number(amount);
    const part = (/** @type {string | number} */ one) => (whole > 0 ? Number(one) / whole : 1);
    return html`<li key="${unit}-${window}">
      <div class="row"><b>${limitWords(limit)}</b><span class="push">${amountWords(unit, left)} left ${windowWords(window)}</span></div>
      <${Bar} used=${part(used)} held=${part(held)} label=${usedWords(limit)} />
      <p class="note">${usedWords(limit)}${resets && html`; begins anew <${Time} at=${resets} />`}</p>
      ${rule?.raised_until && html`<p class="note raised">Raised from ${amountWords(unit, rule.amount)}; it ends <${Time} at=${rule.raised_until} /></p>`}
    </li>`;
  })}</ul>`;
}

/**
 * Rows of limits that can be changed. `above` says what counts where there is none.
 * @param {{rows: import("./kinds.js").Row[], above?: string, zone?: string, onChange: (rows: import("./kinds.js").Row[]) => void}} props
 */
export function LimitRows({ rows, above = "No limit of its own: only those above it count, of the team and of the whole gateway.", zone, onChange }) {
  /** @param {number} at @param {Partial<import("./kinds.js").Row>} part */
  const change = (at, part) => onChange(rows.map((row, index) => {
    if (index !== at) return row;
    const next = { ...row, ...part };
    const windows = windowsOf(next.unit);
    return windows.some(({ value }) => value === next.window) ? next : { ...next, window: windows[0].value };
  }));
  return html`<fieldset class="stack limit-rows"><legend>Limits</legend>
    ${!rows.length && html`<p class="note">${above}</p>`}
    ${rows.map((row, at) => html`<div class="limit-row" key=${at}>
      <${Field} label="Amount">${(/** @type {any} */ ids) => html`<input ...${ids} type="text" inputmode="decimal" autocomplete="off" value=${row.amount}
        onInput=${(/** @type {any} */ event) => change(at, { amount: event.target.value })} />`}</${Field}>
      <${Select} label="Of what" options=${UNITS} value=${row.unit} onChange=${(/** @type {string} */ unit) => change(at, { unit })} />
      <${Select} label="In which time" options=${windowsOf(row.unit)} value=${row.window} onChange=${(/** @type {string} */ window) => change(at, { window })} />
      <${Button} kind="quiet" icon="trash" label="Take this limit away" onPress=${() => onChange(rows.filter((_, index) => index !== at))} />
      <p class="note">${meaning(row, zone)}</p>
    </div>`)}
    <div class="row"><${Button} icon="plus" onPress=${() => onChange([...rows, { unit: "usd", window: "month", amount: "" }])}>Add a limit</${Button}></div>
  </fieldset>`;
}

const A_CLIP = "A clip needs room under every limit: the user's, the team's and the gateway's. What is used already stays counted.";

/**
 * Changes the limits of `path`, such as `admin/users/ID`; `admin` is the whole gateway, whose days are those of UTC.
 * @param {{path: string, name: string, onDone: () => any, onClose: () => void}} props
 */
export function ChangeLimits({ path, name, onDone, onClose }) {
  const [rows, setRows] = useState(/** @type {import("./kinds.js").Row[] | null} */ (null));
  const { value, fault, again } = useReading((signal) => get(`${path}/limits`, { signal }), [path]);
  const present = rows ?? value?.data.map((/** @type {any} */ one) => ({ unit: one.unit, window: one.window, amount: `${one.amount}` }));
  const raised = value?.data.some((/** @type {any} */ one) => one.raised_until);
  const send = async () => {
    if (!present) return onClose();
    await put(`${path}/limits`, bodyOf(present));
    await onDone();
    onClose();
  };
  const whole = path === "admin";
  return html`<${Form} title="Limits of ${name}" action="Set these limits" onSend=${send} onClose=${onClose}>
    <p class="note">${A_CLIP}</p>
    ${raised && html`<${Notice} tone="hold">A limit is raised for a while. Setting limits ends that.</${Notice}>`}
    ${present
      ? html`<${LimitRows} rows=${present} zone=${whole ? "UTC" : undefined} above=${whole ? "No limit: only those of teams and users count." : undefined} onChange=${setRows} />`
      : html`<${Unread} fault=${fault} again=${again} label="Reading the limits" />`}
  </${Form}>`;
}
