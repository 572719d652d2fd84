// One member of the schema as a control.

import { html, useState } from "../../core/html.js";
import { label as labelOf } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Field } from "../../ui/Field.js";
import { Segments } from "../../ui/Segments.js";
import { Select } from "../../ui/Select.js";
import { Slider } from "../../ui/Slider.js";
import { Switch } from "../../ui/Switch.js";
import { MaskField } from "./mask.js";
import { MediaField, MediaList } from "./media.js";
import { kindOf, mediaKind, stepOf, usual } from "./schema.js";
import { sampleFile } from "./samples.js";
import { model } from "./state.js";
import { Storyboard } from "./storyboard.js";

const PLAIN = /^(The (first|last) frame|What happens in the (video|clip)|Length of the video in seconds|Width to height of the video|Make sound along with the video|The thing from the front|The element from the front|The thing from other sides)\.$/; // the label says it
const UNSET = ""; // "as the model likes"

/** @param {any} choice @param {boolean} [seconds] */
const choiceWords = (choice, seconds = false) => (seconds ? `${choice} s` : `${choice}`.replaceAll("_", " "));

/**
 * A control for a member by its kind. An unknown kind gets a field for JSON, so that nothing of a model is out of reach.
 * @param {{name: string, schema: any, value: any, required?: boolean, fault?: string, pastes?: boolean, picture?: any, id?: string,
 *   onChange: (value: any) => void}} props
 */
export function Control({ name, schema, value, required = false, fault = "", pastes = false, picture, id, onChange }) {
  const seconds = name === "duration";
  const shape = { label: labelOf(name), note: PLAIN.test(schema.description ?? "") ? "" : schema.description, fault, id: id ?? `input-${name}`, required };
  const own = usual(schema);
  const kind = kindOf(schema);
  const media = mediaKind(schema.items ?? schema) ?? "image";
  const sample = () => sampleFile(media, name, model.value?.kind);
  switch (kind) {
    case "media":
      return /mask/.test(name)
        ? html`<${MaskField} ...${shape} value=${value} picture=${picture} onChange=${onChange} />`
        : html`<${MediaField} ...${shape} kind=${media} value=${value} pastes=${pastes} sample=${sample} onChange=${onChange} />`;
    case "media-list":
      return html`<${MediaList} ...${shape} kind=${media} value=${value} most=${schema.maxItems ?? 10} pastes=${pastes} sample=${sample} onChange=${onChange} />`;
    case "storyboard":
      return html`<${Storyboard} ...${shape} schema=${schema} value=${value} onChange=${onChange} />`;
    case "segments": {
      const free = own === undefined && !required ? [{ value: UNSET, label: "as the model likes" }] : [];
      const options = schema.enum.map((/** @type {any} */ one) => ({ value: one, label: choiceWords(one, seconds) }));
      return html`<${Segments} ...${shape} options=${[...free, ...options]} value=${value ?? own ?? (required ? schema.enum[0] : UNSET)}
        onChange=${(/** @type {string} */ next) => onChange(next === UNSET ? undefined : next)} />`;
    }
    case "select": {
      const free = own === undefined && !required ? [{ value: UNSET, label: "as the model likes" }] : required && own === undefined ? [{ value: UNSET, label: "Choose one" }] : [];
      const options = schema.enum.map((/** @type {any} */ one) => ({ value: one, label: choiceWords(one) }));
      return html`<${Select} ...${shape} options=${[...free, ...options]} value=${value ?? own ?? UNSET}
        onChange=${(/** @type {string} */ next) => onChange(next === UNSET ? undefined : next)} />`;
    }
    case "steps": {
      const [least, most] = [Number(schema.enum[0]), Number(schema.enum.at(-1))];
      return html`<${Slider} ...${shape} min=${least} max=${most} step=${1} value=${Number(value ?? own ?? least)} usual=${own && Number(own)}
        unit=${seconds ? " s" : ""} onChange=${(/** @type {number} */ next) => onChange(`${next}`)} />`;
    }
    case "slider":
      return html`<${Slider} ...${shape} min=${schema.minimum} max=${schema.maximum} step=${stepOf(schema)} value=${value ?? own ?? schema.minimum}
        usual=${own} unit=${seconds ? " s" : ""} onChange=${onChange} />`;
    case "switch":
      return html`<${Switch} ...${shape} value=${Boolean(value ?? own)} onChange=${onChange} />`;
    case "number":
      return html`<${Field} ...${shape}>${(/** @type {any} */ ids) => html`<input ...${ids} type="number" min=${schema.minimum} max=${schema.maximum}
        step=${schema.type === "integer" ? 1 : "any"} value=${value ?? own ?? ""} onInput=${(/** @type {any} */ event) => onChange(event.target.value === "" ? undefined : Number(event.target.value))} />`}</${Field}>`;
    case "long-text":
    case "text":
      return html`<${TextControl} shape=${shape} long=${kind === "long-text"} schema=${schema} value=${value} onChange=${onChange} />`;
    case "texts":
      return html`<${Rows} shape=${shape} schema=${schema} value=${value} onChange=${onChange} />`;
    case "objects":
      return html`<${Rows} shape=${shape} schema=${schema} value=${value} picture=${picture} onChange=${onChange} />`;
    case "group":
      return html`<fieldset class="field group"><legend>${shape.label}</legend><${Parts} schema=${schema} value=${value} id=${shape.id} picture=${picture} onChange=${onChange} />
        ${fault && html`<p class="fault">${fault}</p>`}${shape.note && html`<p class="note">${shape.note}</p>`}</fieldset>`;
    default:
      return html`<${JsonControl} shape=${shape} value=${value} onChange=${onChange} />`;
  }
}

/** Long texts are not cut where they end too late: whoever pastes one sees by how much, and loses nothing. @param {{shape: any, long: boolean, schema: any, value: any, onChange: (value: any) => void}} props */
function TextControl({ shape, long, schema, value, onChange }) {
  const text = value ?? "";
  const most = schema.maxLength;
  const side = most && text.length > most * 0.8 && html`<span class="${text.length > most ? "fault" : "note"} numbers">${text.length} of ${most}</span>`;
  const put = (/** @type {any} */ event) => onChange(event.target.value === "" ? undefined : event.target.value);
  const hint = shape.label === "Prompt" ? "What happens in the clip" : schema.default ?? "";
  return html`<${Field} ...${shape} note=${shape.label === "Prompt" ? "" : shape.note} side=${side}>${(/** @type {any} */ ids) =>
    long
      ? html`<textarea ...${ids} rows=${shape.label === "Prompt" ? 4 : 2} placeholder=${hint} value=${text} onInput=${put}></textarea>`
      : html`<input ...${ids} type="text" maxlength=${most} autocomplete="off" placeholder=${hint} value=${text} onInput=${put} />`}</${Field}>`;
}

/** The members of an object. @param {{schema: any, value: any, id: string, picture?: any, onChange: (value: any) => void}} props */
function Parts({ schema, value, id, picture, onChange }) {
  return Object.entries(schema.properties).map(
    ([name, part]) => html`<${Control} key=${name} name=${name} schema=${part} id="${id}-${name}" value=${value?.[name]} picture=${picture}
      required=${schema.required?.includes(name)}
      onChange=${(/** @type {any} */ next) =>
        onChange((/** @type {any} */ now) => ({ ...now, [name]: typeof next === "function" ? next(now?.[name]) : next }))} />`,
  );
}

/** A list of texts or of objects. @param {{shape: any, schema: any, value: any[] | undefined, picture?: any, onChange: (value: any) => void}} props */
function Rows({ shape, schema, value, picture, onChange }) {
  const rows = value ?? [];
  const one = shape.label.replace(/s$/, "");
  const most = schema.maxItems ?? 20;
  const put = (/** @type {number} */ at) => (/** @type {any} */ next) =>
    onChange((/** @type {any[] | undefined} */ now) => (now ?? []).map((row, place) => (place === at ? (typeof next === "function" ? next(row) : next) : row)));
  const drop = (/** @type {number} */ at) => onChange((/** @type {any[] | undefined} */ now) => (now ?? []).filter((_, place) => place !== at));
  const simple = schema.items.type !== "object";
  return html`<div class="field" role="group" aria-label=${shape.label}>
    <div class="field-head"><b class="like-label">${shape.label}</b>${rows.length > 0 && html`<span class="note numbers">${rows.length} of ${most}</span>`}</div>
    ${rows.map(
      (row, at) => html`<div class="row-box ${simple ? "simple" : ""}" key=${at}>
        ${simple
          ? html`<input type="text" id="${shape.id}-${at}" aria-label="${one} ${at + 1}" maxlength=${schema.items.maxLength} value=${row ?? ""}
              onInput=${(/** @type {any} */ event) => put(at)(event.target.value)} />`
          : html`<b class="like-label">${one} ${at + 1}</b><${Parts} schema=${schema.items} value=${row} id="${shape.id}-${at}" picture=${picture} onChange=${put(at)} />`}
        <${Button} kind="quiet" icon="trash" label="Remove ${one} ${at + 1}" onPress=${() => drop(at)} />
      </div>`,
    )}
    ${rows.length < most && html`<div><${Button} icon="plus" onPress=${() => onChange((/** @type {any[]} */ now) => [...(now ?? []), simple ? "" : {}])}>Add ${one.toLowerCase()}</${Button}></div>`}
    ${shape.fault && html`<p class="fault">${shape.fault}</p>`}${shape.note && html`<p class="note">${shape.note}</p>`}
  </div>`;
}

/** @param {{shape: any, value: {text: string, parsed?: any} | undefined, onChange: (value: any) => void}} props */
function JsonControl({ shape, value, onChange }) {
  const [fault, setFault] = useState("");
  const put = (/** @type {any} */ event) => {
    const text = event.target.value;
    if (!text.trim()) return (setFault(""), onChange(undefined));
    try {
      onChange({ text, parsed: JSON.parse(text) });
      setFault("");
    } catch {
      onChange({ text });
      setFault("This is not JSON yet.");
    }
    return undefined;
  };
  return html`<${Field} ...${shape} fault=${fault || shape.fault} note=${["As JSON.", shape.note].filter(Boolean).join(" ")}>${(/** @type {any} */ ids) =>
    html`<textarea ...${ids} class="code" rows="3" spellcheck=${false} value=${value?.text ?? ""} onInput=${put}></textarea>`}</${Field}>`;
}
