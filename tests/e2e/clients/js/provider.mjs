// PORT REDIRECT_URI: a real provider of OpenID Connect on this machine. Whoever signs in as NAME@GROUP,GROUP is NAME, in these
// groups; a password is asked for, and any is taken. Prints one line when it serves.

import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const [port, redirectUri] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const key = { ...generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" }), use: "sig", alg: "ES256" };

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "filmgate",
      client_secret: "a-secret-of-the-provider-of-the-tests",
      redirect_uris: [redirectUri],
      response_types: ["code"],
      grant_types: ["authorization_code"],
      id_token_signed_response_alg: "ES256",
    },
  ],
  claims: { openid: ["sub"], profile: ["name", "groups"] },
  cookies: { keys: ["a-key-of-the-cookies-of-the-tests"] },
  jwks: { keys: [key] },
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  findAccount: (_, id) => {
    const [name, groups] = id.split("@");
    return { accountId: id, claims: () => ({ sub: id, name, groups: groups ? groups.split(",") : [] }) };
  },
});

provider.listen(Number(port), "127.0.0.1", () => console.log("serving"));
