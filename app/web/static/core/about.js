// What kind of installation this is, for everybody who looks at the page.

import { get } from "./api.js";
import { signal } from "./html.js";

const KNOWN = "filmgate.about"; // what was said last: the banner is there at once, and nothing jumps

/** @returns {import("./shapes.js").About | null} */
function before() {
  try {
    return JSON.parse(localStorage.getItem(KNOWN) ?? "null");
  } catch {
    return null;
  }
}

/** The answer of `GET /v1/about`; null while it is not known. @type {import("./html.js").Signal<import("./shapes.js").About | null>} */
export const about = signal(before());

/** True once it is known, or cannot be: how one may sign in is not shown before. @type {import("./html.js").Signal<boolean>} */
export const aboutAsked = signal(false);

/** Asks once; a page that does not know shows no banner. */
export async function readAbout() {
  const told = await get("about").catch(() => null);
  if (told) {
    about.value = told;
    localStorage.setItem(KNOWN, JSON.stringify({ ...told, sign_in: undefined })); // who the proxy names is of this moment
  }
  aboutAsked.value = true;
}
