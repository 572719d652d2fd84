import { html } from "../../core/html.js";
import { Empty } from "../../ui/Empty.js";
import { Button } from "../../ui/Button.js";
import { Parts } from "../../ui/Parts.js";
import { useTitle } from "../../core/title.js";
import { Audit } from "./Audit.js";
import { Gateway } from "./Gateway.js";
import { Hooks } from "./Hooks.js";
import { People } from "./People.js";
import { Status } from "./Status.js";
import { Storage } from "./Storage.js";

/** @type {{name: string, label: string, component: any}[]} */
const PARTS = [
  { name: "people", label: "People and keys", component: People },
  { name: "limits", label: "Gateway's limits", component: Gateway },
  { name: "webhooks", label: "Webhooks", component: Hooks },
  { name: "storage", label: "Storage", component: Storage },
  { name: "status", label: "Status", component: Status },
  { name: "audit", label: "Audit log", component: Audit },
];

/** @param {{params: Record<string, string>, query: URLSearchParams}} props */
export function Administration({ params, query }) {
  const part = PARTS.find(({ name }) => name === (params.view ?? PARTS[0].name));
  useTitle(part ? `${part.label} · Administration` : "Not found");
  return html`<div class="page admin">
    <div class="page-head"><h1>Administration</h1></div>
    <${Parts} label="Parts of the administration" parts=${PARTS.map(({ name, label }) => ({ href: `/admin/${name}`, label }))} current=${part && `/admin/${part.name}`} />
    ${part
      ? html`<${part.component} key=${part.name} id=${params.id} query=${query} />`
      : html`<${Empty} icon="info" title="Nothing here" text="The administration has no such part."><${Button} href="/admin/people">People and keys</${Button}></${Empty}>`}
  </div>`;
}
