// Keys that do something while no field has the focus. `?` shows those of the present view.

import { signal, useLayoutEffect } from "./html.js";

/** @typedef {{keys: string, label: string, run: () => void}} Shortcut `keys`: `n`, `g j` (one after the other), `mod+Enter` */

/** @type {import("./html.js").Signal<Shortcut[]>} */
export const shortcuts = signal([]);

const SEQUENCE_MS = 1200;
let before = "";
/** @type {ReturnType<typeof setTimeout> | undefined} */
let forgetting;

/** Has these shortcuts while the component is shown, from its first frame on. @param {Shortcut[]} given */
export function useShortcuts(given) {
  useLayoutEffect(() => {
    shortcuts.value = [...shortcuts.value, ...given];
    return () => {
      shortcuts.value = shortcuts.value.filter((one) => !given.includes(one));
    };
  }, []);
}

/**
 * Moves the focus along a list: from the element that has it, or to the first one in sight.
 * @param {string} selector of the link in each of its lines @param {number} by
 */
export function walk(selector, by) {
  const all = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(selector));
  const at = [...all].findIndex((one) => one === document.activeElement);
  const next = at === -1 ? [...all].find((one) => one.getBoundingClientRect().top >= 0) : all[at + by];
  next?.focus();
  next?.closest("li, [role=row]")?.scrollIntoView({ block: "nearest" });
}

/** @param {EventTarget | null} target */
const writes = (target) =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.altKey || document.querySelector("dialog[open]")) return;
  const mod = event.metaKey || event.ctrlKey;
  if (writes(event.target) && !mod) return;
  const pressed = mod ? `mod+${event.key}` : event.key;
  const found =
    shortcuts.value.findLast(({ keys }) => before && keys === `${before} ${pressed}`) ??
    shortcuts.value.findLast(({ keys }) => keys === pressed);
  clearTimeout(forgetting);
  before = found || mod || pressed.length > 1 ? "" : pressed;
  forgetting = setTimeout(() => (before = ""), SEQUENCE_MS);
  if (!found) return;
  event.preventDefault();
  found.run();
});
