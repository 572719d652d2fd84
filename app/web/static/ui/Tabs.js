import { html, useId } from "../core/html.js";

/**
 * Views of one thing, one at a time; arrow keys move between them.
 * @param {{label: string, tabs: {value: string, label: string}[], value: string, onChange: (value: string) => void, children?: any}} props
 */
export function Tabs({ label, tabs, value, onChange, children }) {
  const id = useId();
  /** @param {KeyboardEvent} event */
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = tabs.findIndex((tab) => tab.value === value);
    const next = tabs[(at + step + tabs.length) % tabs.length].value;
    onChange(next);
    document.getElementById(`${id}-${next}`)?.focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
      ${tabs.map(
        (tab) => html`<button type="button" role="tab" key=${tab.value} id="${id}-${tab.value}" aria-selected=${tab.value === value}
          aria-controls="${id}-panel" tabindex=${tab.value === value ? 0 : -1} onClick=${() => onChange(tab.value)}>${tab.label}</button>`,
      )}
    </div>
    <div role="tabpanel" id="${id}-panel" aria-labelledby="${id}-${value}" tabindex="0">${children}</div>`;
}
