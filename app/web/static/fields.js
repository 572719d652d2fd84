// Form fields of a model: duration, picture and other settings.

import { byId, make } from "./dom.js";

const OWN = new Set(["prompt", "duration"]); // these have their place in the form

/** The name of the field that takes the (first) picture, and whether it is a list; null when there is none. */
export function pictureField(model) {
  const { properties, required } = model.input;
  const name = required.find((field) => isPicture(properties[field]));
  return name ? { name, list: properties[name].type === "array" } : null;
}

const isPicture = (schema) => (schema.items ?? schema).format === "image-url";

/** Fills the durations; keeps the selected one if the model has it. */
export function fillDurations(model, wanted) {
  const duration = model.input.properties.duration;
  const lengths = duration ? (duration.enum ?? wholeNumbers(duration)) : [];
  const options = lengths.map((length) => make("option", { value: length }, `${length} seconds`));
  const usual = duration?.default ?? duration?.assumed;
  if (duration && usual === undefined) options.unshift(make("option", { value: "" }, "as the model likes"));
  byId("duration").replaceChildren(...options);
  if (duration) byId("duration").value = lengths.includes(`${wanted}`) ? `${wanted}` : `${usual ?? ""}`;
  byId("duration-field").hidden = !duration;
}

const wholeNumbers = ({ minimum, maximum }) => Array.from({ length: maximum - minimum + 1 }, (_, more) => `${minimum + more}`);

/** The chosen duration as the model takes it, a text or a number; undefined for fal's own choice. */
export function readDuration(model) {
  const value = byId("duration-field").hidden ? "" : byId("duration").value;
  if (value === "") return undefined;
  return model.input.properties.duration.type === "integer" ? Number(value) : value;
}

/** Makes a control for every other simple field. */
export function fillSettings(model, given = {}) {
  const controls = [];
  for (const [name, schema] of Object.entries(model.input.properties)) {
    const control = OWN.has(name) ? null : controlFor(schema, given[name], model.input.required.includes(name));
    if (!control) continue;
    const id = `setting-${name}`;
    const note = make("p", { class: "note", id: `${id}-note` }, schema.description);
    Object.assign(control, { id }).setAttribute("aria-describedby", note.id);
    const label = make("label", { htmlFor: id }, name.replaceAll("_", " "));
    controls.push(make("div", { class: control.type === "checkbox" ? "field check" : "field" }, label, control, note));
  }
  byId("settings").replaceChildren(...controls);
  byId("more-settings").hidden = !controls.length;
  // What must be given is not hidden in a closed box.
  if (model.input.required.some((name) => byId(`setting-${name}`))) byId("more-settings").open = true;
}

/** The settings that differ from the model's defaults. */
export function readSettings(model) {
  const settings = {};
  for (const [name, schema] of Object.entries(model.input.properties)) {
    const control = byId(`setting-${name}`);
    if (!control) continue;
    const value = valueOf(control, schema);
    if (value !== undefined && value !== schema.default) settings[name] = value;
  }
  return settings;
}

function controlFor(schema, given, required) {
  const value = given ?? schema.default;
  if (schema.enum) {
    const options = schema.enum.map((choice) => make("option", { value: choice }, choice));
    if (schema.default === undefined && !required) options.unshift(make("option", { value: "" }, "as the model likes"));
    return Object.assign(make("select", {}, ...options), { value: value ?? (required ? schema.enum[0] : "") });
  }
  if (["video-url", "audio-url"].includes(schema.format)) {
    return make("input", { type: "url", value: value ?? "", placeholder: "https://…", autocomplete: "off" });
  }
  if (schema.type === "boolean") return make("input", { type: "checkbox", checked: Boolean(value) });
  if (schema.type === "number") {
    return make("input", { type: "number", min: schema.minimum, max: schema.maximum, step: "any", value: value ?? "" });
  }
  if (schema.type === "string" && !schema.format) {
    return make("input", { type: "text", maxLength: schema.maxLength ?? 2500, value: value ?? "", autocomplete: "off" });
  }
  return null; // further pictures and lists: for programs
}

function valueOf(control, schema) {
  if (control.type === "checkbox") return control.checked;
  if (control.value === "") return undefined;
  return schema.type === "number" ? Number(control.value) : control.value;
}
