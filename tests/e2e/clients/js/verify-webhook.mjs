// Reads cases from its input, `[{secret, jwks, headers, body}]`; prints for each which verifiers took it. The three
// functions of docs/webhooks.md stand in the module whose path is the argument.

import { readFileSync } from "node:fs";
import { Webhook as Svix } from "svix";
import { Webhook } from "standardwebhooks";

const documented = await import(process.argv[2]);
const verifiers = {
  svix: ({ secret, headers, body }) => new Svix(secret).verify(body, headers),
  standardwebhooks: ({ secret, headers, body }) => new Webhook(secret).verify(body, headers),
  documented: ({ secret, headers, body }) => documented.verify(secret, headers, body),
  v1a: ({ jwks, headers, body }) => documented.verifyV1a(jwks, headers, body),
  fal: ({ jwks, headers, body }) => documented.verifyFal(jwks, headers, body),
};

async function takes(verifier, given) {
  try {
    await verifier(given);
    return true;
  } catch {
    return false;
  }
}

const told = [];
for (const given of JSON.parse(readFileSync(0, "utf8"))) {
  const taken = {};
  for (const [name, verifier] of Object.entries(verifiers)) taken[name] = await takes(verifier, given);
  told.push(taken);
}
console.log(JSON.stringify(told));
