// What the playground knows: the form as it was left, the takes on the stage.

import { batch, computed, effect, signal } from "../../core/html.js";
import { models } from "../../core/models.js";
import { session } from "../../core/session.js";
import { inputOf, isUploading, kindOf } from "./schema.js";

const STORED = "filmgate.draft";
const PICTURES = ["start_image_url", "image_url"];
const LAST = ["end_image_url", "tail_image_url"];
const LISTS = ["image_urls", "input_image_urls"];
const EMPTY = { model: "", values: {}, takes: 1, storyboard: false };

/** @typedef {import("../../core/shapes.js").Model} Model */
/** @typedef {{model: string, values: Record<string, any>, takes: number, storyboard: boolean}} Draft */

/** The form. It outlives the view, a reload and a new sign-in. @type {import("../../core/html.js").Signal<Draft>} */
export const draft = signal(stored());

/** The jobs on the stage, the newest order. @type {import("../../core/html.js").Signal<string[]>} */
export const onStage = signal([]);

/** Every job that is shown, by id. @type {import("../../core/html.js").Signal<Record<string, import("../../core/shapes.js").Job>>} */
export const jobs = signal({});

/** Two jobs to look at side by side. @type {import("../../core/html.js").Signal<string[]>} */
export const compared = signal([]);

/** The model that is chosen; null until the models are read. */
export const model = computed(() => models.value?.find(({ id }) => id === draft.value.model) ?? null);

/** `{input, missing}` of the form; null without a model. */
export const order = computed(() => model.value && inputOf(model.value, draft.value.values, draft.value));

/** The body of `POST /v1/jobs` and `/v1/quotes` as text; "" while something is missing or on its way. */
export const body = computed(() => {
  if (!order.value || order.value.missing.length || isUploading(draft.value.values)) return "";
  return JSON.stringify({ model: draft.value.model, input: order.value.input });
});

/** @returns {Draft} */
function stored() {
  try {
    return { ...EMPTY, ...JSON.parse(sessionStorage.getItem(STORED) ?? "{}") };
  } catch {
    return { ...EMPTY };
  }
}

effect(() => {
  // What is still being uploaded, and pictures that only this page can show, do not outlive it.
  const kept = JSON.stringify(draft.value, (_, value) => (value?.uploading ? undefined : typeof value?.preview === "string" ? { ...value, preview: undefined } : value));
  sessionStorage.setItem(STORED, kept);
});

/** The ids of the newest jobs; null until they are read. @type {import("../../core/html.js").Signal<string[] | null>} */
export const recent = signal(null);

// Nobody sees what another one made in this tab; what was typed is kept for whoever was signed out without asking for it.
effect(() => {
  const { state, reason } = session.value;
  if (state !== "out") return;
  batch(() => {
    onStage.value = compared.value = [];
    jobs.value = {};
    recent.value = models.value = null;
    if (!reason) draft.value = { ...EMPTY };
  });
});

/** Takes the models in, and chooses one: the one before, or the gateway's default. @param {Model[]} list */
export function setModels(list) {
  models.value = list;
  if (list.some(({ id }) => id === draft.value.model)) return;
  const first = list.find((one) => one.default && one.priced) ?? list.find(({ priced }) => priced) ?? list[0];
  draft.value = { ...draft.value, model: first?.id ?? "" };
}

/** Chooses a model; what was entered stays where the new one has it too. @param {string} id */
export function chooseModel(id) {
  const next = models.value?.find((one) => one.id === id);
  if (!next) return;
  draft.value = { ...draft.value, model: id, values: carried(draft.value.values, next.input.properties) };
}

/** @param {Record<string, any>} values @param {Record<string, any>} properties */
function carried(values, properties) {
  const next = { ...values };
  for (const names of [PICTURES, LAST]) {
    const given = names.map((name) => values[name]).find(Boolean) ?? (names === PICTURES ? listed(values) : undefined);
    for (const name of names) if (given && properties[name] && !next[name]) next[name] = given;
  }
  for (const name of LISTS) {
    const first = PICTURES.map((one) => values[one]).find(Boolean) ?? listed(values);
    if (first && properties[name] && !next[name]?.length) next[name] = [first];
  }
  for (const [name, schema] of Object.entries(properties)) {
    if (next[name] !== undefined && !fits(schema, next[name])) delete next[name];
  }
  return next;
}

/** @param {Record<string, any>} values */
const listed = (values) => LISTS.map((name) => values[name]?.[0]).find(Boolean);

/** Whether a value of another model can be one of this member. @param {any} schema @param {any} value */
function fits(schema, value) {
  if (schema.enum) return schema.enum.includes(value);
  const lists = ["media-list", "objects", "texts", "storyboard"].includes(kindOf(schema));
  if (lists !== Array.isArray(value)) return false;
  if (schema.type === "number" || schema.type === "integer") {
    return typeof value === "number" && !(value < schema.minimum) && !(value > schema.maximum);
  }
  return schema.type !== "boolean" || typeof value === "boolean";
}

/** Sets a member's value, or computes it from the one before. @param {string} name @param {any} value */
export function setValue(name, value) {
  const { values } = draft.value;
  const next = typeof value === "function" ? value(values[name]) : value;
  draft.value = { ...draft.value, values: { ...values, [name]: next } };
}

/** Empties the form. */
export function clearDraft() {
  draft.value = { ...draft.value, values: {}, takes: 1, storyboard: false };
}

/** Fills the form with a job's input. @param {any} job */
export function reuse(job) {
  const known = models.value?.find(({ id }) => id === job.model);
  const input = job.input ?? {};
  const values = Object.fromEntries(
    Object.entries(input)
      .filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(known?.input.properties[name]?.default))
      .map(([name, value]) => [name, known?.input.properties[name] ? filled(known.input.properties[name], value) : value]),
  );
  draft.value = { model: known ? job.model : draft.value.model, values, takes: 1, storyboard: Boolean(input.multi_prompt) };
}

/** A value of a job's input as the form holds it: files as `{url}`. @param {any} schema @param {any} value @returns {any} */
function filled(schema, value) {
  const kind = kindOf(schema);
  if (kind === "media") return typeof value === "string" ? { url: value } : { ...value, url: value?.url ?? "" };
  if (kind === "json") return { text: JSON.stringify(value, null, 2), parsed: value };
  if (Array.isArray(value)) return value.map((one) => filled(schema.items, one));
  if (value && typeof value === "object" && schema.properties) {
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, schema.properties[name] ? filled(schema.properties[name], part) : part]));
  }
  return value;
}

/** Takes in a job's newer state. An end is final; an event has no input. @param {any} job */
export function takeJob(job) {
  const known = jobs.value[job.id];
  const ended = known && ["succeeded", "failed", "canceled"].includes(known.status);
  if (ended && !["succeeded", "failed", "canceled"].includes(job.status)) return;
  const position = job.queue_position ?? (job.status === "queued" ? known?.queue_position : null);
  jobs.value = { ...jobs.value, [job.id]: { ...known, ...job, queue_position: position } };
}

/** Marks a job for the comparison, or takes the mark away. @param {string} id */
export function compare(id) {
  const { value } = compared;
  compared.value = value.includes(id) ? value.filter((one) => one !== id) : [...value.slice(-1), id];
}
