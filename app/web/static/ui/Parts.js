import { html, useLayoutEffect, useRef } from "../core/html.js";

/**
 * The parts of a view, each with an address of its own. The present one is in sight, also on a phone.
 * @param {{label: string, parts: {href: string, label: string}[], current?: string}} props `current` is an `href`
 */
export function Parts({ label, parts, current }) {
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }), [current]);
  return html`<nav class="tabs parts" aria-label=${label} ref=${list}>${parts.map(
    ({ href, label: name }) => html`<a key=${href} href=${href} aria-current=${href === current ? "page" : undefined}>${name}</a>`,
  )}</nav>`;
}
