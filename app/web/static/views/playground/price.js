// Under the form: what it costs, whose limit it touches, how long it takes, or why it cannot be ordered.

import { html } from "../../core/html.js";
import { dollars, plural, roughly } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Segments } from "../../ui/Segments.js";
import { ordering, submit } from "./order.js";
import { blocked, faultsByMember, firstToRefuse, leftAfter, limitAfter, pressed, quote, times } from "./quote.js";
import { body, draft, order } from "./state.js";

const TAKES = ["1", "2", "3", "4"].map((value) => ({ value, label: value }));

/** Orders, or goes to what is missing. */
export async function press() {
  const missing = order.value?.missing[0];
  pressed.value = Boolean(missing);
  if (missing) (document.getElementById(`input-${missing.name}-file`) ?? document.getElementById(`input-${missing.name}`) ?? document.getElementById(`input-${missing.name}-0`))?.focus();
  else await submit();
}

/** The button, and everything that one wants to know before pressing it. */
export function Order() {
  const { takes, values } = draft.value;
  const asked = quote.value;
  const reason = blocked(asked);
  const refused = Object.keys(faultsByMember()).length > 0;
  const { busy, fault } = ordering.value;
  const data = asked?.data;
  const uploading = !order.value?.missing.length && !body.value && values && "A file is still being uploaded.";
  const stop = reason || (refused && "See what is marked above.") || uploading || false;
  const price = data ? `${data.basis === "ceiling" ? "at most " : ""}${dollars(times(data.quoted_usd, takes))}` : "";
  return html`<footer class="order">
    <div class="order-row">
      <${Segments} label="Takes" options=${TAKES} value=${`${takes}`} onChange=${(/** @type {string} */ next) => (draft.value = { ...draft.value, takes: Number(next) })} />
      <${Button} kind="main" id="order" busy=${busy} off=${stop} aria-describedby="order-facts" onPress=${press}>
        ${price ? `Make ${takes === 1 ? "clip" : plural(takes, "clip")} for ${price}` : "Make clip"}</${Button}>
    </div>
    <div id="order-facts" class="order-facts numbers" role="status">
      ${fault && html`<p class="fault">${fault}</p>`}
      ${stop ? html`<p class="fault">${stop}</p>` : pressed.value && order.value?.missing[0] && html`<p class="fault">${order.value.missing[0].sentence}</p>`}
      ${data ? html`<${Facts} data=${data} takes=${takes} off=${Boolean(stop)} />` : html`<p class="note">${asked?.fault ? "" : body.value ? "Asking the price …" : "The price is shown as soon as nothing is missing."}</p>`}
    </div>
  </footer>`;
}

/** `off`: it cannot be ordered now, so nothing is said of when it would start. @param {{data: any, takes: number, off: boolean}} props */
function Facts({ data, takes, off }) {
  const { position, estimated_wait_s: wait, expected_run_s: run, upstream_paused: paused } = data.queue;
  const first = firstToRefuse(data, takes);
  const start = position ? `${plural(position, "clip")} before it, ${roughly(wait ?? 0)} to wait.` : "It can start at once.";
  return html`
    ${data.note && html`<p class="note">${data.note}</p>`}
    ${!paused && !off && html`<p class="note">${start}${run ? ` Usually done ${roughly(run)} later.` : ""}</p>`}
    ${first && leftAfter(first, data, takes) >= 0 && html`<p class="note">${limitAfter(first, data, takes)}</p>`}`;
}
