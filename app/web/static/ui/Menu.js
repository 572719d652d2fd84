import { html, useEffect, useRef } from "../core/html.js";
import { Icon } from "./Icon.js";

/**
 * Further things to do, behind one button. Escape, a choice and a press elsewhere close it.
 * @param {{label: string, items: {label: string, onPress?: () => void, href?: string, danger?: boolean}[]}} props
 */
export function Menu({ label, items }) {
  const box = useRef(/** @type {HTMLDetailsElement | null} */ (null));
  const close = () => box.current?.removeAttribute("open");
  useEffect(() => {
    const elsewhere = (/** @type {Event} */ event) => box.current?.contains(/** @type {Node} */ (event.target)) || close();
    document.addEventListener("pointerdown", elsewhere);
    document.addEventListener("focusin", elsewhere);
    return () => {
      document.removeEventListener("pointerdown", elsewhere);
      document.removeEventListener("focusin", elsewhere);
    };
  }, []);
  /** @param {KeyboardEvent} event */
  const leave = (event) => {
    if (event.key !== "Escape" || !box.current?.open) return;
    close();
    box.current.querySelector("summary")?.focus();
  };
  /** @param {{onPress?: () => void}} item */
  const press = ({ onPress }) => {
    box.current?.querySelector("summary")?.focus(); // where the focus comes back to, from the window that opens
    close();
    onPress?.();
  };
  return html`<details class="menu" ref=${box} onKeyDown=${leave}>
    <summary class="button plain alone" aria-label=${label} title=${label}><${Icon} name="more" size=${18} /></summary>
    <ul>${items.map((item) => html`<li key=${item.label}>${item.href
      ? html`<a href=${item.href} onClick=${close}>${item.label}</a>`
      : html`<button type="button" class=${item.danger ? "danger" : ""} onClick=${() => press(item)}>${item.label}</button>`}</li>`)}</ul>
  </details>`;
}
