// Who is at the page. Views read `session` and `me`; how somebody is signed in is known here alone: the browser has a
// cookie that no script can read, and this page has the token that a request must show which changes something.

import { Refused, authenticateWith, get, post, remove } from "./api.js";
import { signal } from "./html.js";

const SAFE = new Set(["GET", "HEAD"]);
const NO_COOKIE = /^There is no key|^You are not signed in:/; // what the API says where a browser has lost its cookie
const NOT_ANY_MORE = "You are not signed in any more. Sign in again.";
const KEPT_BEFORE = "filmgate.key"; // where earlier versions of the page kept the key
const SIGNED_IN = "filmgate.signed-in"; // there while somebody is: a first visit has nothing to ask

/**
 * `state`: `starting` until it is known whether somebody is signed in. `role`: what the page offers.
 * @typedef {{state: "starting" | "out" | "in", role: "user" | "administrator" | null, reason: string}} Session
 */

/** @type {import("./html.js").Signal<Session>} */
export const session = signal({ state: "starting", role: null, reason: "" });

/** The answer of `GET /v1/me`; null for an administrator, and while nobody is signed in. @type {import("./html.js").Signal<import("./shapes.js").Me | null>} */
export const me = signal(null);

/** True while somebody is signed in with the administrator's key. */
export const isAdministrator = () => session.value.role === "administrator";

/** True when the caller's key has the scope. @param {string} scope */
export const may = (scope) => isAdministrator() || Boolean(me.value?.key.scopes.some((one) => one === scope));

/** Why single sign-on did not sign in, until somebody tries again. @type {import("./html.js").Signal<string>} */
export const signOnFault = signal("");

/** Whether the caller may change a job or share it: their own, or with `team:admin` any of the team. @param {{user: string}} job */
export const mayAct = (job) => !isAdministrator() && (may("team:admin") || (may("jobs:write") && job.user === me.value?.user.id));

let csrf = "";
let holder = ""; // the id of the key, or `administrator`
let looking = 0; // calls of `begin` that have not been answered
let turn = 0; // a look at the session that began before somebody signed in says nothing

// Tabs share the cookie: what one of them does, the others see.
const tabs = "BroadcastChannel" in globalThis ? new BroadcastChannel("filmgate.session") : null;
tabs?.addEventListener("message", ({ data }) => void begin(data || "You signed out in another tab.").catch(() => {}));

/** @param {string} [reason] why somebody is not signed in any more, other than by their own wish */
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel reaches this origin only
const tellTabs = (reason = "") => tabs?.postMessage(reason);

authenticateWith({
  cookies: "same-origin",
  headers: (method) => {
    /** @type {Record<string, string>} */
    const none = {};
    return csrf && !SAFE.has(method) ? { "X-CSRF-Token": csrf } : none;
  },
  refused: ({ message }) => {
    if (session.value.state !== "in" || looking) return;
    const reason = NO_COOKIE.test(message) ? NOT_ANY_MORE : message;
    out(reason);
    tellTabs(reason); // a tab that asks nothing at present would not notice
  },
  renewed,
});

/** What a page that was loaded does first: asks who is there, except at a first visit. */
export async function resume() {
  sessionStorage.removeItem(KEPT_BEFORE);
  if (localStorage.getItem(SIGNED_IN)) await begin();
  else out("");
}

/** Finds out who is at the page: whoever the cookie signs in, or nobody, for this reason. @param {string} [reason] */
async function begin(reason = "") {
  const mine = turn;
  looking += 1;
  try {
    const found = await get("session").finally(() => (looking -= 1));
    if (mine === turn) await entered(found);
  } catch (error) {
    if (error instanceof Refused && error.temporary) throw error; // the caller tries again
    if (mine === turn && session.value.state !== "out") out(reason);
  }
}

/**
 * Signs in with a key, or with the code of a link. Throws `Refused` when it opens nothing.
 * @param {{key: string, remember?: boolean} | {code: string}} given
 */
export async function signIn(given) {
  await entered(await post("session", given));
  tellTabs();
}

/** Goes to the provider of single sign-on, and comes back to this address. Throws `Refused` while it does not answer. */
export async function leaveForProvider() {
  signOnFault.value = "";
  const { url } = await post("sign-in/oidc", { to: location.pathname + location.search });
  if (/^https?:\/\//.test(url)) location.assign(url);
}

/**
 * Comes back from the provider, with what it has put into the address; returns the address to show. Throws `Refused`.
 * @param {{state: string, code: string}} given @returns {Promise<string>}
 */
export async function comeBack({ state, code }) {
  const { session: begun, to } = await post("sign-in/oidc/return", { state, code });
  await entered(begun);
  tellTabs();
  return to;
}

/** Signs in as whom the proxy before this gateway has signed in. Throws `Refused`. */
export async function signInByProxy() {
  await entered(await post("sign-in/proxy"));
  tellTabs();
}

/** Accepts an invitation and signs in with its key, which is returned: it is shown this once. @param {string} code @returns {Promise<string>} */
export async function accept(code) {
  const { key, session: begun } = await post("invitations/accept", { code });
  await entered(begun).catch(() => {}); // the key must be shown, whatever comes after it
  tellTabs();
  return key.key;
}

/** Ends the session. Throws `Refused` while the gateway cannot be told: the cookie would still sign in. */
export async function signOut() {
  try {
    await remove("session");
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 401) throw error;
  }
  out("");
  tellTabs();
}

/** Reads limits and usage again, after something changed. */
export async function refreshMe() {
  if (session.value.role !== "user") return;
  me.value = await get("me");
}

/** @param {import("./shapes.js").SessionReply} found */
async function entered(found) {
  turn += 1;
  const mine = turn;
  csrf = found.csrf;
  const another = found.key?.id ?? found.role;
  if (session.value.state === "in" && another !== holder) out(""); // nobody sees what was somebody else's
  holder = another;
  localStorage.setItem(SIGNED_IN, "yes");
  const caller = found.role === "user" ? await get("me") : null;
  if (mine !== turn) return;
  me.value = caller;
  session.value = { state: "in", role: found.role, reason: "" };
}

/** True when the same person has another token: they signed in again in another tab. Somebody else's orders are not sent. */
async function renewed() {
  const before = holder;
  const found = await get("session");
  const same = (found.key?.id ?? found.role) === before && found.csrf !== csrf;
  if (same) csrf = found.csrf;
  else await entered(found);
  return same;
}

/** @param {string} reason */
function out(reason) {
  csrf = holder = "";
  localStorage.removeItem(SIGNED_IN);
  me.value = null;
  session.value = { state: "out", role: null, reason };
}
