import { html, useEffect, useState } from "../core/html.js";
import { setQuery } from "../core/router.js";
import { useShortcuts } from "../core/shortcuts.js";
import { Icon } from "./Icon.js";

const TYPING_MS = 350;

/**
 * A field whose text narrows a list, soon after one has typed; `/` leads to it. `shortcut`: what that does, in words.
 * @param {{id: string, label: string, text: string, shortcut: string, onSearch: (text: string) => void}} props
 */
export function Search({ id, label, text, shortcut, onSearch }) {
  const [typed, setTyped] = useState(text);
  useShortcuts([{ keys: "/", label: shortcut, run: () => document.getElementById(id)?.focus() }]);
  useEffect(() => setTyped(text), [text]);
  useEffect(() => {
    if (typed.trim() === text) return undefined;
    const timer = setTimeout(() => onSearch(typed.trim()), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  return html`<div class="search"><${Icon} name="search" size=${18} />
    <input type="search" id=${id} aria-label=${label} placeholder=${label} maxlength="200" autocomplete="off" spellcheck=${false} value=${typed}
      onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} /></div>`;
}

/** So many people are found without a search. */
export const FEW_PEOPLE = 8;

/** Looks for people by a name or an id; everybody without one. The address keeps the words. @param {string} text */
export const findPeople = (text) => setQuery({ text });

/** A field that finds people of a team. @param {{text: string, shortcut: string}} props */
export const PeopleSearch = ({ text, shortcut }) =>
  html`<${Search} id="search-people" label="Name, or a user's id" text=${text} shortcut=${shortcut} onSearch=${findPeople} />`;
