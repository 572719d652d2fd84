// Who is at the page. Views read `session` and `me`; how a key is kept is known here alone.

import { Refused, authenticateWith, get } from "./api.js";
import { signal } from "./html.js";

const STORED = "filmgate.key";
const PRINTABLE = /^[\x21-\x7e]+$/; // what a header can carry

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

/** The key that this tab has, for the API's reference; empty without one. */
export const storedKey = () => sessionStorage.getItem(STORED) ?? "";

let key = storedKey();

authenticateWith({
  headers: () => {
    /** @type {Record<string, string>} */
    const none = {};
    return key ? { Authorization: `Bearer ${PRINTABLE.test(key) ? key : "-"}` } : none;
  },
  refused: (error) => session.value.state === "in" && signOut(error.message),
});

/** Finds out who is at the page: a key that this tab still has, or nobody. */
export async function begin() {
  if (!key) return out("");
  try {
    await enter();
  } catch (error) {
    if (error instanceof Refused && error.temporary) throw error; // the caller tries again
    forget();
    out(/** @type {Error} */ (error).message);
  }
}

/**
 * Signs in with a key. Throws `Refused` when it opens nothing.
 * @param {string} given @param {{remember?: boolean}} [_options]
 */
export async function signIn(given, _options = {}) {
  key = given;
  try {
    await enter();
    sessionStorage.setItem(STORED, key);
  } catch (error) {
    forget();
    throw error;
  }
}

/** Ends the session; `reason` is shown above the sign-in form. @param {string} [reason] */
export function signOut(reason = "") {
  forget();
  out(reason);
}

/** Reads limits and usage again, after something changed. */
export async function refreshMe() {
  if (session.value.role !== "user") return;
  me.value = await get("me");
}

async function enter() {
  try {
    me.value = await get("me");
    session.value = { state: "in", role: "user", reason: "" };
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 403) throw error;
    await get("admin/status"); // the administrator's key belongs to no user
    session.value = { state: "in", role: "administrator", reason: "" };
  }
}

function forget() {
  key = "";
  sessionStorage.removeItem(STORED);
}

/** @param {string} reason */
function out(reason) {
  me.value = null;
  session.value = { state: "out", role: null, reason };
}
