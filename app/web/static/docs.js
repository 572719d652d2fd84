// The API's reference: Swagger UI for /openapi.json, with the key of this tab's dashboard. Calls go to this page's
// origin, which may differ from the public URL.

import { storedKey } from "./core/session.js";

const here = new URL("..", import.meta.url);

/** Adds the visitor's key to calls of this gateway only. */
function withKey(request) {
  const key = storedKey();
  if (key && new URL(request.url, here).origin === here.origin && !request.headers.Authorization) {
    request.headers.Authorization = `Bearer ${key}`;
  }
  return request;
}

document.querySelector("#who").textContent = storedKey()
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
