import { html } from "../../core/html.js";
import { Badge } from "../../ui/Badge.js";
import { clockTime, outcomeWords } from "../jobs/words.js";

/** Every attempt of a delivery with what the receiver answered. @param {{event: string, attempts: import("../../core/shapes.js").Delivery["attempts"]}} props */
export function Tries({ event, attempts }) {
  if (!attempts.length) return html`<p class="note">It was not tried yet.</p>`;
  return html`<div class="table-scroll" tabindex="0" role="region" aria-label="Attempts of ${event}"><table class="table tries"><thead><tr><th scope="col">When</th><th scope="col">Answer</th><th scope="col" class="number">Took</th></tr></thead>
    <tbody>${attempts.map((one, at) => html`<tr key=${at}><td><time datetime=${one.at} title=${new Date(one.at).toLocaleString()}>${clockTime(one.at)}</time></td>
      <td><${Badge} tone=${one.outcome === "delivered" ? "good" : "bad"}>${one.status ?? "no answer"}</${Badge}> ${outcomeWords(one)}
        ${one.answer && html`<p class="note answer" tabindex="0">${one.answer}</p>`}</td>
      <td class="number">${one.duration_ms} ms</td></tr>`)}</tbody></table></div>`;
}
