import { html } from "../core/html.js";
import { Icon } from "./Icon.js";

/** A sentence that belongs to a place. @param {{tone?: "info" | "good" | "hold" | "bad", children?: any, actions?: any}} props */
export const Notice = ({ tone = "info", children, actions }) => html`<div class="notice ${tone}" role=${tone === "bad" ? "alert" : "status"}>
  <${Icon} name=${tone === "bad" || tone === "hold" ? "warning" : tone === "good" ? "check" : "info"} size=${18} />
  <div>${children}</div>${actions}
</div>`;
