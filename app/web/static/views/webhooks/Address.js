import { html } from "../../core/html.js";

/** An address with its host in sight. @param {{url: string}} props */
export function Address({ url }) {
  const [, scheme, host, rest] = /^(\w+:\/\/)([^/?#]+)(.*)$/s.exec(url) ?? ["", "", url, ""];
  return html`<span class="hook-rest">${scheme}</span>${host}<span class="hook-rest">${rest}</span>`;
}
