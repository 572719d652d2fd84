import { html, useState } from "../../core/html.js";
import { readPages } from "../../core/pages.js";
import { setQuery } from "../../core/router.js";
import { may } from "../../core/session.js";
import { Button } from "../../ui/Button.js";
import { Notice } from "../../ui/Notice.js";
import { Segments } from "../../ui/Segments.js";
import { Unread, useReading } from "../admin/reading.js";
import { Delivery } from "./Delivery.js";
import { Replay } from "./Replay.js";

const PAGE = 25;
const LOOK_MS = 4000;
const STATES = [["", "All"], ["delivered", "Delivered"], ["due", "On their way"], ["dead", "Given up"]].map(([value, label]) => ({ value, label }));
/** @type {Record<string, string>} */
const NOTHING = { "": "Nothing was sent yet. Send a test to try it.", delivered: "Nothing was delivered yet.", due: "Nothing is on its way.", dead: "Nothing was given up." };

/**
 * So many pages of what went to an endpoint, the newest first.
 * @param {string} path @param {number} pages @param {AbortSignal} signal @returns {Promise<{found: import("../../core/shapes.js").Delivery[], more: boolean}>}
 */
const readLog = (path, pages, signal) => readPages(`${path}&limit=${PAGE}`, signal, pages);

/** The delivery log of an endpoint. @param {{where: import("./where.js").Where, endpoint: import("../../core/shapes.js").Endpoint, query: URLSearchParams}} props */
export function Log({ where, endpoint, query }) {
  const [pages, setPages] = useState(1);
  const [replaying, setReplaying] = useState(false);
  const status = STATES.find(({ value }) => value === query.get("status"))?.value ?? "";
  const path = `${where.api}deliveries?endpoint=${encodeURIComponent(endpoint.id)}${status && `&status=${status}`}`;
  const { value, fault, again } = useReading((signal) => readLog(path, pages, signal), [path, pages], pages === 1 ? LOOK_MS : 0);
  return html`<section class="panel stack hook-log" aria-label="Deliveries">
    <div class="row"><h3>Deliveries</h3>
      ${may("team:admin") && html`<span class="push"><${Button} icon="again" off=${endpoint.status !== "active" && "Resume the endpoint first."} onPress=${() => setReplaying(true)}>Send many again …</${Button}></span>`}</div>
    <${Segments} label="Which deliveries" hideLabel options=${STATES} value=${status} onChange=${(/** @type {string} */ one) => (setPages(1), setQuery({ status: one }))} />
    ${!value && html`<${Unread} fault=${fault} again=${again} label="Reading the deliveries" />`}
    ${value && fault && html`<${Notice} tone="bad" actions=${html`<${Button} onPress=${again}>Try again</${Button}>`}>${fault}</${Notice}>`}
    ${value && !value.found.length && html`<p class="note">${NOTHING[status]}</p>`}
    ${value && value.found.length > 0 && html`<ol class="sent-list">${value.found.map((one) => html`<li key=${one.id}><${Delivery} where=${where} endpoint=${endpoint} delivery=${one} onChange=${again} /></li>`)}</ol>`}
    ${value?.more && html`<div class="row"><${Button} onPress=${() => setPages(pages + 1)}>Show older ones</${Button}></div>`}
    ${replaying && html`<${Replay} where=${where} id=${endpoint.id} onDone=${again} onClose=${() => setReplaying(false)} />`}
  </section>`;
}
