import { html } from "../core/html.js";
import { Icon } from "./Icon.js";
import { Spinner } from "./Spinner.js";

/**
 * A button, or a link that looks like one when it has an `href`.
 *
 * `kind`: `plain`, `main` (one a page), `quiet` or `danger`. `off` is why it cannot be pressed: it keeps the focus, and the
 * reason belongs beside it. `label` names a button that shows an icon alone.
 * @param {{kind?: "plain" | "main" | "quiet" | "danger", icon?: string, label?: string, off?: boolean | string, busy?: boolean,
 *   type?: string, href?: string, onPress?: (event: Event) => void, children?: any, [name: string]: any}} props
 */
export function Button({ kind = "plain", icon, label, off = false, busy = false, type = "button", href, onPress, children, ...rest }) {
  const inner = [busy ? html`<${Spinner} />` : icon && html`<${Icon} name=${icon} size=${18} />`, children];
  const name = `button ${kind}${children ? "" : " alone"}`;
  if (href) return html`<a class=${name} href=${href} aria-label=${label} title=${label} onClick=${onPress} ...${rest}>${inner}</a>`;
  const stopped = Boolean(off) || busy;
  /** @param {Event} event */
  const press = (event) => {
    if (!stopped) return onPress?.(event);
    event.preventDefault();
  };
  return html`<button type=${type} class=${name} aria-disabled=${stopped ? "true" : undefined} aria-label=${label}
    title=${typeof off === "string" && off ? off : label} onClick=${press} ...${rest}>${inner}</button>`;
}
