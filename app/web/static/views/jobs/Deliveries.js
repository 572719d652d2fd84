// A job's webhooks: what was sent where, how each attempt ended, and sending it again.

import { post } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { isAdministrator } from "../../core/session.js";
import { Badge } from "../../ui/Badge.js";
import { Button } from "../../ui/Button.js";
import { Time } from "../../ui/Time.js";
import { toast } from "../../ui/Toast.js";
import { Section } from "./History.js";
import { DELIVERIES, clockTime, outcomeWords } from "./words.js";

/** @param {{deliveries: any[], onChange: () => Promise<void>}} props */
export function Deliveries({ deliveries, onChange }) {
  return html`<${Section} title="Webhooks">
    ${deliveries.length === 0
      ? html`<p class="note">None was sent: the job named no address, and no endpoint of the team wanted its events so far.</p>`
      : html`<ol class="deliveries">${deliveries.map((one) => html`<li key=${one.id}><${Delivery} delivery=${one} onChange=${onChange} /></li>`)}</ol>`}
  </${Section}>`;
}

/** @param {{delivery: any, onChange: () => Promise<void>}} props */
function Delivery({ delivery, onChange }) {
  const { id, event, url, status, attempts, replays, next_attempt_at: next } = delivery;
  const [words, tone] = DELIVERIES[status] ?? [status, ""];
  const [busy, setBusy] = useState(false);
  const replay = async () => {
    setBusy(true);
    try {
      await post(`deliveries/${id}/replay`);
      toast("It is sent again now, with the same id.", { tone: "good" });
      await onChange();
    } catch (error) {
      toast(/** @type {Error} */ (error).message, { tone: "bad" });
    }
    setBusy(false);
  };
  return html`<article class="delivery" data-delivery=${id} aria-label="Webhook ${event}">
    <div class="row"><b>${event}</b><${Badge} tone="dot ${tone}">${words}</${Badge}></div>
    <div class="delivery-to"><p class="note">${url ?? "Its endpoint is gone."}</p>
      ${!isAdministrator() && html`<${Button} icon="again" busy=${busy} onPress=${replay}>Send again</${Button}>`}</div>
    ${status === "due" && next && attempts.length > 0 && html`<p class="note">Next attempt: <${Time} at=${next} /></p>`}
    ${attempts.length === 0
      ? html`<p class="note">It was not tried yet.</p>`
      : html`<div class="table-scroll" tabindex="0" role="region" aria-label="Attempts of ${event}"><table class="table"><thead><tr><th scope="col">When</th><th scope="col">Answer</th><th scope="col" class="number">Took</th></tr></thead>
          <tbody>${attempts.map((/** @type {any} */ one, /** @type {number} */ at) => html`<tr key=${at}><td><time datetime=${one.at} title=${new Date(one.at).toLocaleString()}>${clockTime(one.at)}</time></td>
            <td><${Badge} tone=${one.outcome === "delivered" ? "good" : "bad"}>${one.status ?? "no answer"}</${Badge}> ${outcomeWords(one)}
              ${one.answer && html`<p class="note answer">${one.answer}</p>`}</td>
            <td class="number">${one.duration_ms} ms</td></tr>`)}</tbody></table></div>`}
    ${replays.length > 0 && html`<p class="note">Sent again by hand: ${replays.map((/** @type {any} */ { at }, /** @type {number} */ index) => html`${index ? ", " : ""}<${Time} at=${at} />`)}</p>`}
  </article>`;
}
