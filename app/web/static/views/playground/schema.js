// A model's input schema, read as a form: the kind of each member, where it goes, and the body that comes of the values.

import { label } from "../../core/words.js";

/** @typedef {Record<string, any>} Schema */
/** @typedef {{url: string, id?: string, name?: string, type?: string, size?: number, width?: number, height?: number, seconds?: number,
 *   from?: string, preview?: string, uploading?: boolean, fault?: string}} Media */
/** @typedef {{name: string, schema: Schema, kind: string, required: boolean}} Member */

const MAIN = new Set([
  "prompt", "text", "multi_prompt", "image_url", "start_image_url", "end_image_url", "tail_image_url", "image_urls",
  "input_image_urls", "video_url", "video_urls", "audio_url", "voice_url", "elements", "duration", "aspect_ratio",
  "resolution", "generate_audio", "effect_scene", "special_fx", "voice_id",
]);
const FEW = 7; // choices that fit beside each other
const STEPS = 400; // a slider cannot be set finer by hand

/** How a member is entered. @param {Schema} schema @returns {string} */
export function kindOf(schema) {
  const { type, format, items } = schema;
  if (type === "array" && items) {
    if (items.type === "object" && items.properties?.prompt && items.properties?.duration) return "storyboard";
    if (mediaKind(items)) return "media-list";
    if (items.type === "object" && items.properties) return "objects";
    if (items.type === "string") return "texts";
    return "json";
  }
  if (type === "object") return schema.properties ? "group" : "json";
  if (schema.enum) return schema.enum.length <= FEW ? "segments" : numbered(schema.enum) ? "steps" : "select";
  if (type === "boolean") return "switch";
  if (type === "number" || type === "integer") {
    const { minimum, maximum } = schema;
    const bounded = typeof minimum === "number" && typeof maximum === "number";
    return bounded && (maximum - minimum) / stepOf(schema) <= STEPS ? "slider" : "number";
  }
  if (type === "string") return format ? (mediaKind(schema) ? "media" : "text") : (schema.maxLength ?? 0) > 200 ? "long-text" : "text";
  return "json";
}

/** `image`, `video` or `audio` of a member that takes a file's address, else null. @param {Schema} schema */
export const mediaKind = ({ format }) => /^(image|video|audio)-url$/.exec(format ?? "")?.[1] ?? null;

/** True for choices that are whole numbers in a row. @param {any[]} choices */
const numbered = (choices) => choices.every((choice, index) => Number(choice) === Number(choices[0]) + index);

/** @param {Schema} schema */
export const stepOf = ({ type, minimum, maximum }) => (type === "integer" ? 1 : maximum - minimum <= 2 ? 0.05 : 0.1);

/** The usual value: the schema's default, or what fal is known to assume. @param {Schema} schema */
export const usual = (schema) => schema.default ?? schema.assumed;

/** The members of a model's form: `main` ones, and those that are folded away. @param {any} model @returns {{main: Member[], more: Member[]}} */
export function membersOf(model) {
  const { properties, required = [], oneOf = [] } = model.input;
  const either = new Set(oneOf.flatMap((/** @type {any} */ option) => option.required ?? []));
  const all = Object.entries(properties).map(([name, schema]) => ({
    name,
    schema: /** @type {Schema} */ (schema),
    kind: kindOf(/** @type {Schema} */ (schema)),
    required: required.includes(name),
  }));
  const pictured = all.some(({ kind, required: needed }) => kind === "media" && needed);
  const isMain = (/** @type {Member} */ { name, kind, required: needed }) =>
    needed || either.has(name) || (MAIN.has(name) && !(kind === "media-list" && pictured));
  const main = all.filter(isMain).toSorted((one, other) => rank(one) - rank(other));
  return { main, more: all.filter((member) => !isMain(member)) };
}

/** What must be given first, words, and then the rest in the schema's order. @param {Member} member */
function rank({ kind, name, required }) {
  if (kind === "media" || kind === "media-list") return required ? 0 : 3;
  if (name === "prompt" || name === "text") return 1;
  if (kind === "storyboard") return 2;
  return kind === "objects" ? 5 : 4;
}

/** True when a storyboard may stand for the prompt. @param {any} model */
export const hasStoryboard = (model) => membersOf(model).main.some(({ kind }) => kind === "storyboard");

/** The longest video of a model in seconds, or null. @param {any} model */
export function longest(model) {
  const duration = model.input.properties.duration;
  if (!duration) return null;
  return duration.maximum ?? Math.max(...(duration.enum ?? []).map(Number));
}

/** Seconds of a storyboard. @param {any[]} shots @param {Schema} schema */
export function shotSeconds(shots, schema) {
  const { duration } = schema.items.properties;
  return shots.reduce((sum, shot) => sum + Number(shot.duration ?? usual(duration) ?? 5), 0);
}

/**
 * The input of a job from the form's values, and what is missing for it as `{name, sentence}`.
 * @param {any} model @param {Record<string, any>} values @param {{storyboard: boolean}} mode
 */
export function inputOf(model, values, { storyboard }) {
  /** @type {Record<string, any>} */
  const input = {};
  /** @type {{name: string, sentence: string}[]} */
  const missing = [];
  const { main, more } = membersOf(model);
  const withBoard = storyboard && hasStoryboard(model);
  for (const member of [...main, ...more]) {
    const { name, schema, kind } = member;
    if (withBoard ? name === "prompt" : kind === "storyboard") continue;
    const value = clean(schema, values[name]);
    const asked = member.required || kind === "storyboard" || (name === "prompt" && hasStoryboard(model));
    if (value === undefined) {
      const own = usual(schema);
      if (asked && own !== undefined && schema.default === undefined) input[name] = own;
      else if (asked && own === undefined) missing.push({ name, sentence: wish(member) });
      else if (name === "duration" && own !== undefined) input[name] = own;
    } else if (asked || name === "duration" || JSON.stringify(value) !== JSON.stringify(schema.default)) input[name] = value;
  }
  if (withBoard && input.multi_prompt && model.input.properties.duration) {
    input.duration = durationFor(model, shotSeconds(input.multi_prompt, model.input.properties.multi_prompt));
  }
  return { input, missing };
}

/** The duration that goes with a storyboard: its sum, as the model takes it. @param {any} model @param {number} seconds */
function durationFor(model, seconds) {
  const { duration } = model.input.properties;
  const shortest = duration.minimum ?? Number(duration.enum[0]);
  const fitting = Math.max(shortest, seconds);
  return duration.type === "integer" || duration.type === "number" ? fitting : `${fitting}`;
}

/** @param {Member} member */
function wish({ name, kind, schema }) {
  if (kind === "storyboard") return "Say what happens in each shot.";
  if (name === "prompt") return "Say in a few words what happens in the clip.";
  if (kind === "media" || kind === "media-list") {
    const what = { image: "a picture", video: "a video", audio: "a sound" }[mediaKind(schema.items ?? schema) ?? "image"];
    return `Choose ${what}, or give its address.`;
  }
  return `${label(name)} is needed.`;
}

/** A value as the API takes it; undefined when there is none. @param {Schema} schema @param {any} value @returns {any} */
function clean(schema, value) {
  if (value === undefined || value === null || value === "") return undefined;
  const kind = kindOf(schema);
  if (kind === "media") return typeof value === "string" ? value.trim() || undefined : value.url || undefined;
  if (kind === "json") return value.parsed;
  if (kind === "group") return cleanObject(schema, value);
  if (Array.isArray(value)) {
    const items = value.map((one) => (schema.items.type === "object" ? cleanObject(schema.items, one) : clean(schema.items, one)));
    const given = items.filter((one) => one !== undefined);
    return given.length ? given : undefined;
  }
  if (schema.type === "string") return `${value}`.trim() || undefined;
  return value;
}

/** @param {Schema} schema @param {Record<string, any>} value */
function cleanObject(schema, value) {
  const pairs = Object.entries(schema.properties)
    .map(([name, part]) => [name, clean(/** @type {Schema} */ (part), value?.[name])])
    .filter(([, part]) => part !== undefined);
  return pairs.length ? Object.fromEntries(pairs) : undefined;
}

/** True while a file of these values is being uploaded. @param {any} values @returns {boolean} */
export const isUploading = (values) =>
  Boolean(values) && typeof values === "object" && (values.uploading === true || Object.values(values).some(isUploading));
