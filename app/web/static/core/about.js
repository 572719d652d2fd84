// What kind of installation this is, for everybody who looks at the page.

import { get } from "./api.js";
import { signal } from "./html.js";

/** The answer of `GET /v1/about`; null while it is not known. @type {import("./html.js").Signal<import("./shapes.js").About | null>} */
export const about = signal(null);

/** Asks once; a page that does not know shows no banner. */
export async function readAbout() {
  about.value = await get("about").catch(() => null);
}
