// What the test's web page loads: `runCase(name, settings, options)` gives the case's lines. `settings` has the key and
// the address of either the proxy or the gateway.

import { fal } from "@fal-ai/client";
import { leadingTo, outcome } from "./cases.mjs";

window.runCase = async (name, { key, proxy, gateway }, options) => {
  const lines = [];
  const way = proxy ? { proxyUrl: proxy } : { requestMiddleware: leadingTo(gateway) };
  fal.config({ ...way, credentials: key, suppressLocalCredentialsWarning: true });
  const ended = await outcome(name, fal, options, (line) => lines.push(line));
  return { lines, outcome: ended };
};
