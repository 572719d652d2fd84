// What the test's web page loads: `runCase(name, settings, options)` gives the case's lines; `lines` has them while it
// runs. `settings` has the key and the address of either the proxy or the gateway.

import { fal } from "@fal-ai/client";
import { leadingTo, outcome } from "./cases.mjs";

window.runCase = async (name, { key, proxy, gateway }, options) => {
  window.lines = [];
  const way = proxy ? { proxyUrl: proxy } : { requestMiddleware: leadingTo(gateway) };
  fal.config({ ...way, credentials: key, suppressLocalCredentialsWarning: true });
  const ended = await outcome(name, fal, options, (line) => window.lines.push(line));
  return { lines: window.lines, outcome: ended };
};
