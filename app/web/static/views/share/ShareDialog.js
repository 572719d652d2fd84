import { get, post, remove, serverNow } from "../../core/api.js";
import { html, useEffect, useState } from "../../core/html.js";
import { may, me } from "../../core/session.js";
import { Button } from "../../ui/Button.js";
import { Copy } from "../../ui/Copy.js";
import { Dialog } from "../../ui/Dialog.js";
import { Field } from "../../ui/Field.js";
import { Notice } from "../../ui/Notice.js";
import { Segments } from "../../ui/Segments.js";
import { Spinner } from "../../ui/Spinner.js";
import { Switch } from "../../ui/Switch.js";
import { Time } from "../../ui/Time.js";

/** How long a link may work, in seconds. */
export const LASTS = [["3600", "An hour"], ["86400", "A day"], ["604800", "A week"], ["2592000", "30 days"]].map(([value, label]) => ({ value, label }));
export const USUAL = "604800";

/** @typedef {import("../../core/shapes.js").Share} Share */

/**
 * Links to a page with one clip, for people without a key: a new one, those that work, and their end.
 * @param {{job: {id: string}, onClose: () => void}} props
 */
export function ShareDialog({ job, onClose }) {
  const [lasts, setLasts] = useState(USUAL);
  const [prompt, setPrompt] = useState(false);
  const [made, setMade] = useState(/** @type {Share | null} */ (null));
  const [links, setLinks] = useState(/** @type {Share[] | null} */ (null));
  const [busy, setBusy] = useState("");
  const [fault, setFault] = useState("");
  /** @param {string} what @param {() => Promise<void>} act */
  const attempt = async (what, act) => {
    setBusy(what);
    setFault("");
    await act().catch((/** @type {Error} */ error) => setFault(error.message));
    setBusy("");
  };
  const list = async () => setLinks((await get(`jobs/${job.id}/shares`)).data);
  useEffect(() => void attempt("list", list), [job.id]);
  const make = () =>
    attempt("make", async () => {
      setMade(await post(`jobs/${job.id}/shares`, { expires_in: Number(lasts), prompt }));
      await list();
    });
  /** @param {Share} link */
  const end = (link) =>
    attempt(link.id, async () => {
      await remove(`shares/${link.id}`);
      setMade((now) => (now?.id === link.id ? null : now));
      await list();
    });
  return html`<${Dialog} title="Share this clip" onClose=${onClose}>
    <p class="soft">Whoever has the link sees this clip on a page of its own, without a key, until the link ends.</p>
    <${Segments} label="The link works for" options=${LASTS} value=${lasts} onChange=${setLasts} />
    <${Switch} label="Show the prompt as well" value=${prompt} onChange=${setPrompt} />
    <div class="row"><${Button} kind=${made ? "plain" : "main"} icon="link" busy=${busy === "make"} onPress=${make}>${made ? "Make another link" : "Make a link"}</${Button}></div>
    ${made?.url && html`<${MadeLink} url=${made.url} />`}
    ${fault && html`<${Notice} tone="bad" actions=${links === null && html`<${Button} onPress=${() => attempt("list", list)}>Try again</${Button}>`}>${fault}</${Notice}>`}
    <${Links} links=${links} failed=${Boolean(fault)} busy=${busy} end=${end} />
  </${Dialog}>`;
}

/** A link that is shown once. @param {{url: string}} props */
export const MadeLink = ({ url }) => html`<${Field} label="The new link" note="It is shown this once: copy it now.">
  ${(/** @type {any} */ ids) => html`<div class="share-link"><input ...${ids} type="text" readonly value=${url}
    onFocus=${(/** @type {any} */ event) => event.target.select()} /><${Copy} text=${url} kind="main">Copy</${Copy}></div>`}
</${Field}>`;

/** @param {{links: Share[] | null, failed: boolean, busy: string, end: (link: Share) => void}} props */
function Links({ links, failed, busy, end }) {
  if (!links) return failed ? null : html`<p class="note"><${Spinner} /> Looking for its links</p>`;
  const live = links.filter(({ expires_at }) => Date.parse(expires_at) > serverNow());
  if (!live.length) return html`<p class="note">No link of this clip works at present.</p>`;
  return html`<section class="stack" aria-label="Links that work"><h3>Links that work</h3>
    <ul class="share-links">${live.map(
      (link) => html`<li key=${link.id} class="row">
        <span class="small">Made <${Time} at=${link.created_at} /> · ends <${Time} at=${link.expires_at} />${link.prompt ? " · with the prompt" : ""}</span>
        ${(may("team:admin") || link.user === me.value?.user.id) &&
        html`<span class="push"><${Button} kind="danger" busy=${busy === link.id} onPress=${() => end(link)}>End</${Button}></span>`}
      </li>`,
    )}</ul></section>`;
}
