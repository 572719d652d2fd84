// The API's reference: Swagger UI for /openapi.json, with the key of this tab's dashboard. Calls go to this page's
// origin, which may differ from the public URL.

import { readKey } from "./api.js";

const here = new URL("..", import.meta.url);

/** Adds the visitor's key to calls of this gateway only. */
function withKey(request) {
  const key = readKey();
  if (key && new URL(request.url, here).origin === here.origin && !request.headers.Authorization) {
    request.headers.Authorization = `Bearer ${key}`;
  }
  return request;
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches); // Swagger UI's own class
dark.addEventListener("change", follow);
follow();

document.querySelector("#who").textContent = readKey()
  ? "“Try it out” uses the key given at the dashboard."
  : "Give your key at the dashboard first, and “Try it out” will use it.";

const answer = await fetch(new URL("openapi.json", here));
const spec = { ...(await answer.json()), servers: [{ url: here.href.replace(/\/$/, "") }] };

globalThis.SwaggerUIBundle({
  domNode: document.querySelector("#reference"),
  spec,
  deepLinking: true,
  validatorUrl: null, // otherwise the document is sent to a validator on the internet
  requestInterceptor: withKey,
});
