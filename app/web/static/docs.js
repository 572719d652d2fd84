// The API's reference: Swagger UI over our own /openapi.json, with the key of this tab's dashboard. Calls go to where
// this page came from, which may be another name of the server than its public one.

import { readKey } from "./api.js";

const here = new URL("..", import.meta.url);

/** Adds the visitor's key to calls of this gateway, and to no other address. */
function withKey(request) {
  const key = readKey();
  if (key && new URL(request.url, here).origin === here.origin && !request.headers.Authorization) {
    request.headers.Authorization = `Bearer ${key}`;
  }
  return request;
}

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
