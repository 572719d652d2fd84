// The models of the gateway, by which jobs are named.

import { signal } from "./html.js";

/** The models of `GET /v1/models`; null until a view has read them. @type {import("./html.js").Signal<import("./shapes.js").Model[] | null>} */
export const models = signal(null);

/** A model's name, without what nearly all of them do; its id where it is not known. @param {string} id */
export const modelName = (id) => models.value?.find((model) => model.id === id)?.title.replace(/ image to video$/, "") ?? id;
