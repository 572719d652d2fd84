// A job's webhooks: what was sent where, how each attempt ended, and sending it again.

import { html } from "../../core/html.js";
import { isAdministrator } from "../../core/session.js";
import { Badge } from "../../ui/Badge.js";
import { Time } from "../../ui/Time.js";
import { SendAgain } from "../webhooks/SendAgain.js";
import { Tries } from "../webhooks/Tries.js";
import { OWN, ofTeam, pageOf } from "../webhooks/where.js";
import { standingOf, waitsFor } from "../webhooks/words.js";
import { Section } from "./History.js";

/** @param {{job: any, deliveries: any[], onChange: () => Promise<void>}} props */
export function Deliveries({ job, deliveries, onChange }) {
  const where = isAdministrator() ? ofTeam(job.team) : OWN;
  return html`<${Section} title="Webhooks">
    ${deliveries.length === 0
      ? html`<p class="note">None was sent: the job named no address, and no endpoint of the team wanted its events so far.</p>`
      : html`<ol class="deliveries">${deliveries.map((one) => html`<li key=${one.id}><${Delivery} where=${where} delivery=${one} onChange=${onChange} /></li>`)}</ol>`}
  </${Section}>`;
}

/** @param {{where: import("../webhooks/where.js").Where, delivery: any, onChange: () => Promise<void>}} props */
function Delivery({ where, delivery, onChange }) {
  const { id, event, endpoint, url, status, attempts, replays, next_attempt_at: next } = delivery;
  const [words, tone] = standingOf(delivery);
  const waits = waitsFor(delivery);
  return html`<article class="delivery" data-delivery=${id} aria-label="Webhook ${event}">
    <div class="row"><b>${event}</b><${Badge} tone="dot ${tone}">${words}</${Badge}></div>
    <div class="delivery-to"><p class="note">${url && endpoint ? html`<a href=${pageOf(where, endpoint)}>${url}</a>` : (url ?? "An endpoint of the team")}</p>
      <${SendAgain} where=${where} id=${id} onChange=${onChange} /></div>
    ${status === "due" && next && attempts.length > 0 && html`<p class="note">Next attempt: <${Time} at=${next} /></p>`}
    ${waits && html`<p class="note">${waits}</p>`}
    <${Tries} event=${event} attempts=${attempts} />
    ${replays.length > 0 && html`<p class="note">Sent again by hand: ${replays.map((/** @type {any} */ { at }, /** @type {number} */ index) => html`${index ? ", " : ""}<${Time} at=${at} />`)}</p>`}
  </article>`;
}
