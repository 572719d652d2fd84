import { html } from "../core/html.js";
import { Icon } from "./Icon.js";

/** Nothing is here yet, and what to do next. @param {{icon?: string, title: string, text?: any, children?: any}} props */
export const Empty = ({ icon = "film", title, text, children }) => html`<div class="empty">
  <${Icon} name=${icon} size=${32} /><h2>${title}</h2>${text && html`<p>${text}</p>`}${children && html`<div class="row">${children}</div>`}
</div>`;
