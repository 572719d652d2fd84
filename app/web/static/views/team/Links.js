import { remove } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { readPages } from "../../core/pages.js";
import { may, me } from "../../core/session.js";
import { spanWords } from "../../core/words.js";
import { Badge } from "../../ui/Badge.js";
import { Button } from "../../ui/Button.js";
import { Confirm } from "../../ui/Confirm.js";
import { Empty } from "../../ui/Empty.js";
import { Notice } from "../../ui/Notice.js";
import { Time } from "../../ui/Time.js";
import { toast } from "../../ui/Toast.js";
import { Unread, useReading } from "../admin/reading.js";
import { WallDialog } from "./WallDialog.js";

const PAGE = 50;
const SHORT = 12; // letters of an id, as the command shows them

/** @typedef {import("../../core/shapes.js").Share} Share */

/** So many pages of the links that work, and who has made them. @param {number} pages @param {AbortSignal} signal */
async function readLinks(pages, signal) {
  /** @type {{found: Share[], more: boolean}} */
  const { found, more } = await readPages(`shares?limit=${PAGE}`, signal, pages);
  const others = found.some(({ user }) => user !== me.value?.user.id);
  /** @type {{id: string, name: string}[]} */
  const users = others ? (await readPages("team/users?limit=100", signal)).found : [];
  return { found, more, names: new Map(users.map(({ id, name }) => [id, name])) };
}

/** Links that people without a key can open: to one clip, and walls of a period. */
export function Links() {
  const [pages, setPages] = useState(1);
  const [making, setMaking] = useState(false);
  const [ending, setEnding] = useState(/** @type {Share | null} */ (null));
  const { value, fault, again } = useReading((signal) => readLinks(pages, signal), [pages]);
  if (!value) return html`<${Unread} fault=${fault} again=${again} label="Reading the links" />`;
  const { found, more, names } = value;
  const wall = may("team:admin") && html`<${Button} kind="main" icon="plus" onPress=${() => setMaking(true)}>Make a wall of clips</${Button}>`;
  const end = async () => {
    await remove(`shares/${ending?.id}`);
    await again();
    toast("The link has ended.", { tone: "good" });
  };
  return html`<section class="stack" aria-label="Links that work">
    <div class="row links-head"><p class="soft">Whoever has one of these links sees what it shows, without a key, until it ends.</p>${found.length > 0 && wall && html`<span class="push">${wall}</span>`}</div>
    ${fault && html`<${Notice} tone="bad" actions=${html`<${Button} onPress=${again}>Try again</${Button}>`}>${fault}</${Notice}>`}
    ${found.length
      ? html`<ul class="panel links">${found.map((link) => html`<${Link} key=${link.id} link=${link} maker=${names.get(link.user)} onEnd=${() => setEnding(link)} />`)}</ul>`
      : html`<div class="panel"><${Empty} icon="share" title="No link works at present" text=${wall ? "“Share” beside a clip makes a link to it. A wall shows all clips of a period, and new ones as they come." : "“Share” beside a clip makes a link to it."}>
          ${wall}<${Button} href="/jobs?status=succeeded">Look at the clips</${Button}></${Empty}></div>`}
    ${more && html`<div class="row"><${Button} onPress=${() => setPages(pages + 1)}>Show more</${Button}></div>`}
    ${making && html`<${WallDialog} onMade=${again} onClose=${() => setMaking(false)} />`}
    ${ending && html`<${Confirm} title="End this link?" text="Whoever opens it is told that it has ended, at once. You can make another one." action="End it" onConfirm=${end} onClose=${() => setEnding(null)} />`}
  </section>`;
}

/** @param {{link: Share, maker?: string, onEnd: () => void}} props */
function Link({ link, maker, onEnd }) {
  const { kind, job, title, prompt, user, created_at: made, expires_at: ends } = link;
  const mine = user === me.value?.user.id;
  const whose = mine ? "you" : (maker ?? "a colleague");
  return html`<li>
    <div class="link-what"><p class="row"><${Badge} tone=${kind === "wall" ? "accent" : ""}>${kind === "wall" ? "Wall" : "Clip"}</${Badge}>
      ${kind === "wall" ? html`<b>${title ?? "Clips"}</b><span class="note">${spanWords(link)}</span>` : html`<a href="/jobs/${job}" title=${job}>${job?.slice(0, SHORT)} …</a>`}</p>
      <p class="note">made <${Time} at=${made} /> by ${whose}${prompt ? " · with the prompt" : ""}</p></div>
    <p class="note">ends <${Time} at=${ends} /></p>
    ${may("team:admin") || (mine && kind === "job") ? html`<${Button} onPress=${onEnd}>End …</${Button}>` : html`<span></span>`}
  </li>`;
}
