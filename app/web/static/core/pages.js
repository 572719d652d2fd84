// Lists of the API that come in pages, read one page after the other.

import { get } from "./api.js";

/**
 * The first so many pages of a list, or all of it; whether there are more. `path` has a `limit`.
 * @param {string} path @param {AbortSignal} signal @param {number} [pages] @returns {Promise<{found: any[], more: boolean}>}
 */
export async function readPages(path, signal, pages = Infinity) {
  /** @type {any[]} */
  const found = [];
  let next = "";
  for (let page = 0; page < pages && (page === 0 || next); page += 1) {
    const one = await get(`${path}${next && `&cursor=${encodeURIComponent(next)}`}`, { signal });
    found.push(...one.data);
    next = one.next_cursor ?? "";
  }
  return { found, more: Boolean(next) };
}
