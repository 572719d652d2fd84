// The views that the page has. They are registered in `views.js`; the shell finds here which one an address has.

import { match } from "./router.js";

/**
 * `paths`: patterns such as `/jobs/:id`. `load` fetches the component, which gets `{params, query}`: the path's parameters and its URLSearchParams.
 * `who`: `user`, `administrator`, `signed-in` (both) or `anybody` (shown without the rail). `rail`: its entry there.
 * @typedef {{name: string, paths: string[], who: "user" | "administrator" | "signed-in" | "anybody",
 *   rail?: {label: string, icon: string, path: string, key: string}, load: () => Promise<any>}} View
 */

/** @type {View[]} */
export const views = [];

/** @param {View[]} given */
export const register = (given) => void views.push(...given);

/** The view of a path with its parameters; null when there is none. @param {string} path */
export function viewOf(path) {
  for (const view of views) {
    for (const pattern of view.paths) {
      const params = match(pattern, path);
      if (params) return { view, params };
    }
  }
  return null;
}

/** Whether somebody with this role may see a view. @param {View} view @param {string | null} role */
export function mayOpen({ who }, role) {
  return who === "anybody" || (role !== null && (who === "signed-in" || who === role));
}
