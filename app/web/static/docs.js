// The API's reference: Swagger UI over our own /openapi.json, with the key of this tab's dashboard.

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

globalThis.SwaggerUIBundle({
  domNode: document.querySelector("#reference"),
  url: new URL("openapi.json", here).href,
  deepLinking: true,
  validatorUrl: null, // otherwise the document is sent to a validator on the internet
  requestInterceptor: withKey,
});
