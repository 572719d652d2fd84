// A sample input in one click: files of the page's own, and words that go with them.

import { hasStoryboard, mediaKind, membersOf } from "./schema.js";
import { takeComing } from "./media.js";
import { sampleFile } from "./samples.js";
import { draft, model, setValue } from "./state.js";

const HILLS = "The sun rises over the hills, mist drifts through the valley, slow zoom.";
const SHOTS = ["The sun rises over the hills, slow zoom.", "Mist drifts through the valley below."];
const TEXT = "Good morning. The sun is up.";
/** @type {Record<string, string>} */
const PROMPTS = {
  "audio-to-video": "The figure speaks calmly into the camera.",
  "video-to-video": "It begins to snow over the hills.",
  "reference-to-video": "The figure of @Image1 smiles and waves before hills at sunrise.",
};
const ALONE = "squish"; // an effect on one picture: some need two

/** @typedef {import("./schema.js").Member} Member */

/** Whether everything that a model needs can be given. @param {any} one */
export const canSample = (one) =>
  membersOf(one).main.every((member) => !member.required || isFile(member) || wordsFor(member, one) !== undefined || member.schema.default !== undefined);

/** @param {Member} member */
const isFile = ({ kind }) => kind === "media" || kind === "media-list";

/** What is written or chosen for a member, if anything. @param {Member} member @param {any} one @returns {string | undefined} */
function wordsFor({ name, schema, required }, one) {
  if (name === "prompt") return PROMPTS[one.kind] ?? (isOfFigures(one) ? "The figure smiles and waves." : HILLS);
  if (name === "text") return TEXT;
  if (!required || !schema.enum || schema.default !== undefined) return undefined;
  return schema.enum.includes(ALONE) ? ALONE : schema.enum[0];
}

/** Whether a model's pictures are a list, as those of elements and effects are. @param {any} one */
const isOfFigures = (one) => filesOf(one).some(({ kind }) => kind === "media-list");

/**
 * The files that a model is for: those that it needs, or else, of a model that needs none, its list of pictures.
 * @param {any} one @returns {Member[]}
 */
function filesOf(one) {
  const files = membersOf(one).main.filter(isFile);
  const needed = files.filter(({ required }) => required);
  return needed.length ? needed : files.filter(({ kind, schema }) => kind === "media-list" && mediaKind(schema.items) === "image").slice(0, 1);
}

/** Fills the form, a storyboard where one is being made; what was entered for the same members is replaced. */
export async function takeSample() {
  const one = model.value;
  if (!one) return;
  for (const member of membersOf(one).main) {
    const words = wordsFor(member, one);
    if (words !== undefined) setValue(member.name, words);
  }
  if (draft.value.storyboard && hasStoryboard(one)) setValue("multi_prompt", shotsOf(one.input.properties.multi_prompt));
  await Promise.all(filesOf(one).map((member) => giveFile(member, one)));
}

/** @param {any} schema of a storyboard */
function shotsOf({ items }) {
  const { duration } = items.properties;
  return SHOTS.map((prompt) => ({ prompt, duration: duration.type === "integer" ? 3 : "3" }));
}

/** @param {Member} member @param {any} one */
function giveFile({ name, kind, schema }, one) {
  const list = kind === "media-list";
  const coming = sampleFile(mediaKind(list ? schema.items : schema) ?? "image", name, one.kind);
  if (!list) return takeComing(coming, (change) => setValue(name, change));
  return takeComing(coming, (change) => setValue(name, (/** @type {any[] | undefined} */ now) => [change(now?.[0]), ...(now ?? []).slice(1)].filter(Boolean)));
}
