// A sample input in one click: a picture of the page's own, and words that go with it.

import { membersOf } from "./schema.js";
import { take } from "./media.js";
import { draft, model, setValue } from "./state.js";

const PICTURE = new URL("./sample.jpg", import.meta.url);
const PROMPT = "The sun rises over the hills, mist drifts through the valley, slow zoom.";
const OWN = { text: "Good morning. The sun is up.", prompt: PROMPT };

/** Whether everything that a model needs can be given. @param {any} one */
export function canSample(one) {
  const { main } = membersOf(one);
  return main.every(({ required, kind, schema, name }) => !required || isPicture(kind, schema) || name in OWN || schema.enum || schema.default !== undefined);
}

/** @param {string} kind @param {any} schema */
const isPicture = (kind, schema) => (kind === "media" || kind === "media-list") && (schema.items ?? schema).format === "image-url";

/** Fills the form; what was entered for the same members is replaced. */
export async function takeSample() {
  const { main } = membersOf(model.value);
  draft.value = { ...draft.value, storyboard: false };
  for (const { name, schema, required } of main) {
    if (name in OWN) setValue(name, OWN[/** @type {keyof OWN} */ (name)]);
    else if (required && schema.enum && schema.default === undefined) setValue(name, schema.enum[0]);
  }
  const picture = main.find(({ kind, schema, required }) => required && isPicture(kind, schema));
  if (!picture) return;
  const blob = await fetch(PICTURE).then((answer) => answer.blob());
  const file = new File([blob], "sample.jpg", { type: "image/jpeg" });
  if (picture.kind === "media-list") {
    await take(file, (change) => setValue(picture.name, (/** @type {any[]} */ now) => [change(now?.[0]), ...(now ?? []).slice(1)].filter(Boolean)));
  } else await take(file, (change) => setValue(picture.name, change));
}
