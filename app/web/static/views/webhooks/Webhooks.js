import { get } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { go } from "../../core/router.js";
import { may } from "../../core/session.js";
import { plural } from "../../core/words.js";
import { Badge } from "../../ui/Badge.js";
import { Button } from "../../ui/Button.js";
import { Empty } from "../../ui/Empty.js";
import { Notice } from "../../ui/Notice.js";
import { Time } from "../../ui/Time.js";
import { Unread, useReading } from "../admin/reading.js";
import { Address } from "./Address.js";
import { Change } from "./Change.js";
import { Endpoint } from "./Endpoint.js";
import { pageOf } from "./where.js";
import { standing } from "./words.js";

const LOOK_MS = 10_000;

/** A team's endpoints, or the one that the address names. @param {{where: import("./where.js").Where, id?: string, query: URLSearchParams}} props */
export const Webhooks = ({ where, id, query }) => (id ? html`<${Endpoint} key=${id} where=${where} id=${id} query=${query} />` : html`<${List} key=${where.api} where=${where} />`);

/** @param {{where: import("./where.js").Where}} props */
function List({ where }) {
  const [adding, setAdding] = useState(false);
  const { value, fault, again } = useReading((signal) => get(`${where.api}webhook-endpoints`, { signal }), [where.api], LOOK_MS);
  if (!value) return html`<${Unread} fault=${fault} again=${again} label="Reading the endpoints" />`;
  /** @type {import("../../core/shapes.js").Endpoint[]} */
  const endpoints = value.data;
  const add = may("team:admin") && html`<${Button} kind="main" icon="plus" onPress=${() => setAdding(true)}>Add an endpoint</${Button}>`;
  return html`<section class="stack" aria-label="Webhook endpoints">
    <div class="row hooks-head"><p class="soft">What happens to the team's jobs is sent to these addresses, signed. <a href="/docs/guide/webhook-consumer" target="_blank">How to receive it</a></p>
      ${endpoints.length > 0 && add && html`<span class="push">${add}</span>`}</div>
    ${fault && html`<${Notice} tone="bad" actions=${html`<${Button} onPress=${again}>Try again</${Button}>`}>${fault}</${Notice}>`}
    ${endpoints.length
      ? html`<ul class="panel hooks">${endpoints.map((one) => html`<${Line} key=${one.id} where=${where} endpoint=${one} />`)}</ul>`
      : html`<div class="panel"><${Empty} icon="link" title="No endpoints yet" text=${add ? "Add the address of your server. It is told when a clip is ready, and need not ask." : "Nobody has added one. It takes a key with team:admin."}>${add}</${Empty}></div>`}
    ${adding && html`<${Change} where=${where} onDone=${(/** @type {string} */ made) => go(pageOf(where, made))} onClose=${() => (setAdding(false), again())} />`}
  </section>`;
}

/** @param {{where: import("./where.js").Where, endpoint: import("../../core/shapes.js").Endpoint}} props */
function Line({ where, endpoint }) {
  const [words, tone] = standing(endpoint);
  const { id, url, description, events, models, failing_since: failing, disabled_at: disabled, paused_at: paused } = endpoint;
  const since = disabled ?? paused ?? failing;
  return html`<li class="hook">
    <div><a class="hook-url" href=${pageOf(where, id)}><${Address} url=${url} /></a>
      <p class="note">${description && html`<b>${description}</b> · `}${events.join(", ")}${models && ` · ${plural(models.length, "model")}`}</p></div>
    <p class="hook-state"><${Badge} tone="dot ${tone}">${words}</${Badge}>${since && html`<span class="note">since <${Time} at=${since} /></span>`}</p>
  </li>`;
}
