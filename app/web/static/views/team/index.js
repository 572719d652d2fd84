// What the team has set up: its webhooks, tokens for web pages, links that work, and its storage.

import { html } from "../../core/html.js";
import { may } from "../../core/session.js";
import { useTitle } from "../../core/title.js";
import { Button } from "../../ui/Button.js";
import { Empty } from "../../ui/Empty.js";
import { Parts } from "../../ui/Parts.js";
import { Webhooks } from "../webhooks/Webhooks.js";
import { OWN } from "../webhooks/where.js";
import { Links } from "./Links.js";
import { Storage } from "./Storage.js";
import { Tokens } from "./Tokens.js";

/** @param {{id?: string, query: URLSearchParams}} props */
function Hooks({ id, query }) {
  if (may("team:read") || may("team:admin")) return html`<${Webhooks} where=${OWN} id=${id} query=${query} />`;
  return html`<${Empty} icon="link" title="Webhooks are the team's" text="Your key does not see them: that takes the scope team:read, and team:admin to change them. A single job can name an address of its own, as webhook_url.">
    <${Button} href="/docs/guide/webhooks" target="_blank">How webhooks work</${Button}></${Empty}>`;
}

/** @type {{name: string, label: string, component: any}[]} */
const PARTS = [
  { name: "links", label: "Shared links", component: Links },
  { name: "webhooks", label: "Webhooks", component: Hooks },
  { name: "tokens", label: "Browser tokens", component: Tokens },
  { name: "storage", label: "Storage", component: Storage },
];

/** @param {{params: Record<string, string>, query: URLSearchParams}} props */
export function Team({ params, query }) {
  const part = PARTS.find(({ name }) => name === (params.view ?? PARTS[0].name));
  useTitle(part?.label ?? "Not found");
  return html`<div class="page team-page">
    <div class="page-head"><h1>Team</h1></div>
    <${Parts} label="What the team has set up" parts=${PARTS.map(({ name, label }) => ({ href: `/team/${name}`, label }))} current=${part && `/team/${part.name}`} />
    ${part
      ? html`<${part.component} key=${part.name} id=${params.id} query=${query} />`
      : html`<${Empty} icon="info" title="Nothing here" text="The team has no such part."><${Button} href="/team">Shared links</${Button}></${Empty}>`}
  </div>`;
}
