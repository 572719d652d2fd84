// CASE WAY OPTIONS: one case in Node; prints JSON lines. WAY is `middleware`, `proxy` or `fetch`.

import { fal } from "@fal-ai/client";
import { leadingTo, outcome } from "./cases.mjs";

const [name, way, options] = process.argv.slice(2);
const gateway = process.env.GATEWAY;
const ways = {
  middleware: { requestMiddleware: leadingTo(gateway) },
  fetch: { fetch: async (url, init) => fetch((await leadingTo(gateway)({ url })).url, init) },
  proxy: { proxyUrl: { url: `${gateway}/fal/proxy`, when: "always" } },
};
const say = (line) => console.log(JSON.stringify(line));

fal.config(ways[way]); // the key is FAL_KEY in the environment
say({ outcome: await outcome(name, fal, JSON.parse(options), say) });
