// Each view has an address; Back works. Links are plain `<a href>`: a click on one of ours does not load the page again.

import { signal } from "./html.js";

/** @typedef {{path: string, query: URLSearchParams}} Place */

const here = () => ({ path: location.pathname, query: new URLSearchParams(location.search) });

/** Where the page is. @type {import("./html.js").Signal<Place>} */
export const place = signal(here());

/** @type {(path: string) => boolean} */
let isOurs = () => false;

/**
 * Follows clicks and Back. `ours` tells whether a path is a view of this page.
 * @param {(path: string) => boolean} ours
 */
export function startRouter(ours) {
  isOurs = ours;
  addEventListener("popstate", () => (place.value = here()));
  document.addEventListener("click", follow);
}

/** Opens an address, such as `/jobs?status=failed`. @param {string} address @param {{replace?: boolean}} [options] */
export function go(address, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  place.value = here();
  if (!replace) scrollTo(0, 0);
}

/**
 * Changes the query of the present address; null removes a name. Filters are shareable so, and Back is not filled with them.
 * @param {Record<string, string | null>} changes
 */
export function setQuery(changes) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  go(location.pathname + (text ? `?${text}` : ""), { replace: true });
}

/**
 * The parameters of a path by a pattern such as `/jobs/:id`; null when it does not fit.
 * @param {string} pattern @param {string} path @returns {Record<string, string> | null}
 */
export function match(pattern, path) {
  const [wanted, given] = [pattern.split("/"), path.replace(/(.)\/$/, "$1").split("/")];
  if (wanted.length !== given.length) return null;
  /** @type {Record<string, string>} */
  const found = {};
  for (const [index, part] of wanted.entries()) {
    if (part.startsWith(":")) found[part.slice(1)] = decoded(given[index]);
    else if (part !== given[index]) return null;
  }
  return found;
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @param {MouseEvent} event */
function follow(event) {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  if (link.hash && link.pathname === location.pathname) return;
  if (!isOurs(link.pathname)) return;
  event.preventDefault();
  go(link.pathname + link.search + link.hash);
}
