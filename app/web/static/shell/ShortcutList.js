import { html } from "../core/html.js";
import { shortcuts } from "../core/shortcuts.js";
import { Dialog } from "../ui/Dialog.js";

/** @param {string} keys */
const shown = (keys) => keys.replace("mod", /Mac|iP/.test(navigator.userAgent) ? "⌘" : "Ctrl");

/** What the keyboard does here. @param {{onClose: () => void}} props */
export const ShortcutList = ({ onClose }) => html`<${Dialog} title="Shortcuts" onClose=${onClose}>
  <dl class="shortcuts">
    ${shortcuts.value.map(
      ({ keys, label }) => html`<div key=${keys}><dt>${shown(keys).split(" ").map((key) => html`<kbd>${key}</kbd>`)}</dt><dd>${label}</dd></div>`,
    )}
  </dl>
</${Dialog}>`;
