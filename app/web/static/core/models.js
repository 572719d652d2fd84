// The models of the gateway, by which jobs are named.

import { get } from "./api.js";
import { signal } from "./html.js";

/** The models of `GET /v1/models`; null until a view has read them. @type {import("./html.js").Signal<import("./shapes.js").Model[] | null>} */
export const models = signal(null);

/** A model's title, without what nearly all of them do. @param {string} title */
export const shortTitle = (title) => title.replace(/ image to video$/, "");

/** A model's name; its id where it is not known. @param {string} id */
export function modelName(id) {
  const known = models.value?.find((model) => model.id === id);
  return known ? shortTitle(known.title) : id;
}

/** Reads them once, for names in lists. */
export async function readModels() {
  if (!models.value) models.value = (await get("models").catch(() => ({ data: null }))).data;
}
