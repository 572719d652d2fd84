import { html } from "../../core/html.js";
import { modelName } from "../../core/models.js";
import { may } from "../../core/session.js";
import { plural } from "../../core/words.js";
import { Badge } from "../../ui/Badge.js";
import { Copy } from "../../ui/Copy.js";
import { Icon } from "../../ui/Icon.js";
import { Time } from "../../ui/Time.js";
import { SendAgain } from "./SendAgain.js";
import { Tries } from "./Tries.js";
import { standingOf, waitsFor } from "./words.js";

/**
 * One message to the endpoint: a line, and below it every attempt.
 * @param {{where: import("./where.js").Where, endpoint: import("../../core/shapes.js").Endpoint, delivery: import("../../core/shapes.js").Delivery, onChange: () => any}} props
 */
export function Delivery({ where, endpoint, delivery, onChange }) {
  const { id, event, job, model, prompt, status, created_at: created, next_attempt_at: next, attempts, replays } = delivery;
  const [words, tone] = standingOf(delivery, endpoint);
  const untried = waitsFor(delivery, endpoint) || (status === "due" ? "not tried yet" : "not tried");
  const last = attempts.at(-1);
  return html`<details class="sent">
    <summary><span class="sent-what"><${Badge} tone="dot ${tone}">${words}</${Badge}><span class="sent-event"><b>${event}</b>${job && html`<span class="soft" title=${prompt ?? job}>${prompt ?? html`${model && modelName(model)} <code>${job}</code>`}</span>`}</span></span>
      <span class="note">${last ? `${last.status ?? "no answer"}${attempts.length > 1 ? `, ${plural(attempts.length, "attempt")}` : ""}` : untried}</span>
      <span class="note sent-when"><${Time} at=${created} /></span><${Icon} name="chevron" size=${16} /></summary>
    <div class="stack sent-more">
      <div class="row">
        ${job && html`<span class="sent-id"><a href="/jobs/${job}">The job <code>${job}</code></a>${model && html`<span class="note">${modelName(model)}</span>`}</span>`}
        <span class="sent-id note"><code>${id}</code><${Copy} text=${id} label="Copy the webhook-id" /></span>
        ${may("team:admin") && html`<span class="push"><${SendAgain} where=${where} id=${id} onChange=${onChange} /></span>`}
      </div>
      ${status === "due" && next && attempts.length > 0 && html`<p class="note">Next attempt: <${Time} at=${next} /></p>`}
      <${Tries} event=${event} attempts=${attempts} />
      ${replays.length > 0 && html`<p class="note">Sent again by hand: ${replays.map(({ at }, index) => html`${index ? ", " : ""}<${Time} at=${at} />`)}</p>`}
    </div>
  </details>`;
}
