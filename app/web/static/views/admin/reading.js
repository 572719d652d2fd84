// What the API says, kept up to date while it is looked at; and what surrounds it while it is not known.

import { html, useEffect, useState } from "../../core/html.js";
import { persist, whileSeen } from "../../core/retry.js";
import { Button } from "../../ui/Button.js";
import { Notice } from "../../ui/Notice.js";
import { Spinner } from "../../ui/Spinner.js";

/**
 * The result of `read`, or why there is none. It is read anew when a part of `on` changes, by `again()`, and, while the
 * page is visible, every `every` milliseconds.
 * @template T @param {(signal: AbortSignal) => Promise<T>} read @param {readonly unknown[]} on @param {number} [every]
 * @returns {{value: T | null, fault: string, again: () => Promise<void>}}
 */
export function useReading(read, on, every = 0) {
  const [state, setState] = useState(/** @type {{value: T | null, fault: string}} */ ({ value: null, fault: "" }));
  const [reader, setReader] = useState(() => async () => {});
  useEffect(() => {
    const shown = new AbortController();
    const { signal } = shown;
    const again = async () => {
      try {
        const value = await persist(() => read(signal), signal);
        if (value !== null) setState({ value, fault: "" });
      } catch (error) {
        if (!signal.aborted) setState((now) => ({ value: now.value, fault: /** @type {Error} */ (error).message }));
      }
    };
    const look = async () => {
      await again();
      if (every) await whileSeen(again, every, signal);
    };
    setReader(() => again);
    look();
    return () => shown.abort();
  }, on);
  return { ...state, again: reader };
}

/** In place of what could not be read yet. @param {{fault: string, again: () => void, label: string}} props */
export function Unread({ fault, again, label }) {
  if (!fault) return html`<div class="list-foot"><${Spinner} label=${label} /></div>`;
  return html`<${Notice} tone="bad" actions=${html`<${Button} onPress=${again}>Try again</${Button}>`}>${fault}</${Notice}>`;
}
