// Every view: its addresses, its place in the rail, who may see it, and the component that shows it.

import { match } from "./core/router.js";
import { Playground } from "./views/playground/index.js";

/**
 * `paths`: patterns such as `/jobs/:id`. `component` gets `{params, query}`: the path's parameters and its URLSearchParams.
 * `who`: `user`, `administrator`, `signed-in` (both) or `anybody` (shown without the rail). `rail`: its entry there.
 * @typedef {{name: string, title: string, paths: string[], who: "user" | "administrator" | "signed-in" | "anybody",
 *   rail?: {label: string, icon: string, path: string, key: string}, component: any}} View
 */

/** @type {View[]} */
export const VIEWS = [
  {
    name: "playground",
    title: "Playground",
    paths: ["/"],
    who: "user",
    rail: { label: "Playground", icon: "play", path: "/", key: "p" },
    component: Playground,
  },
];

/** The view of a path with its parameters; null when there is none. @param {string} path */
export function viewOf(path) {
  for (const view of VIEWS) {
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
