import { focusContent } from "../core/focus.js";
import { html, useId, useLayoutEffect, useRef } from "../core/html.js";
import { Button } from "./Button.js";

/**
 * A window above the page; Escape and a press beside it close it. Shown while it is rendered.
 * @param {{title: string, onClose: () => void, wide?: boolean, children?: any, actions?: any}} props
 */
export function Dialog({ title, onClose, wide = false, children, actions }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const id = useId();
  // Not after the next frame: Escape pressed before then would close nothing.
  useLayoutEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      // What was pressed may be gone with what it did, as with "Erase".
      setTimeout(() => {
        if (document.querySelector("dialog[open]")) return;
        if (before instanceof HTMLElement && before.isConnected && before !== document.body) before.focus();
        else focusContent();
      });
    };
  }, []);
  // The cancel of a file input bubbles to here. Without a press since the last window, a browser closes without asking.
  const asked = (/** @type {Event} */ event) => event.target === dialog.current && (event.preventDefault(), onClose());
  return html`<dialog ref=${dialog} class=${wide ? "wide" : ""} aria-labelledby=${id}
    onCancel=${asked} onClose=${() => onClose()}
    onClick=${(/** @type {Event} */ event) => event.target === dialog.current && onClose()}>
    <div class="dialog">
      <header><h2 id=${id}>${title}</h2><${Button} kind="quiet" icon="close" label="Close" onPress=${onClose} /></header>
      <div class="dialog-body">${children}</div>
      ${actions && html`<footer>${actions}</footer>`}
    </div>
  </dialog>`;
}
