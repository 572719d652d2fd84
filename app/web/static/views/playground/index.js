import { html } from "../../core/html.js";
import { useTitle } from "../../core/title.js";

/** Make clips: the form on the left, what comes of it on the right. */
export function Playground() {
  useTitle("Playground");
  return html`<div class="page"><h1>Playground</h1></div>`;
}
