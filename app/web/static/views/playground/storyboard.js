// A video of several shots: what happens in each, how long it is, and how long they are together.

import { html } from "../../core/html.js";
import { plural } from "../../core/words.js";
import { Bar } from "../../ui/Bar.js";
import { Button } from "../../ui/Button.js";
import { kindOf, longest, shotSeconds, usual } from "./schema.js";
import { model } from "./state.js";

const SHORT = 3; // seconds of a shot that is added

/** @param {{label: string, schema: any, value: any[] | undefined, fault?: string, note?: any, id?: string, onChange: (value: any) => void}} props */
export function Storyboard({ label, schema, value, fault, note, id, onChange }) {
  const shots = value?.length ? value : [{}];
  const most = schema.maxItems ?? 6;
  const sum = shotSeconds(shots, schema);
  const limit = model.value && longest(model.value);
  const over = limit !== null && sum > limit;
  const { duration, prompt } = schema.items.properties;
  const change = (/** @type {number} */ at, /** @type {any} */ part) => onChange(shots.map((shot, place) => (place === at ? { ...shot, ...part } : shot)));
  return html`<div class="field storyboard" role="group" aria-label=${label}>
    <ol>
      ${shots.map(
        (shot, at) => html`<li key=${at}>
          <span class="shot-number" aria-hidden="true">${at + 1}</span>
          <textarea id="${id}-${at}" rows="2" aria-label="Shot ${at + 1}" placeholder="What happens in shot ${at + 1}" maxlength=${prompt.maxLength} value=${shot.prompt ?? ""}
            onInput=${(/** @type {any} */ event) => change(at, { prompt: event.target.value })}></textarea>
          <div class="shot-tools">
            <input type="range" aria-label="Length of shot ${at + 1}" min=${duration.minimum ?? Number(duration.enum[0])} max=${Math.min(limit ?? 15, duration.maximum ?? Number(duration.enum.at(-1)))}
              step="1" value=${shot.duration ?? usual(duration)} aria-valuetext="${shot.duration ?? usual(duration)} seconds"
              onInput=${(/** @type {any} */ event) => change(at, { duration: kindOf(duration) === "slider" || duration.type === "integer" ? Number(event.target.value) : event.target.value })} />
            <output class="numbers">${shot.duration ?? usual(duration)} s</output>
            ${shots.length > 1 && html`<${Button} kind="quiet" icon="trash" label="Remove shot ${at + 1}" onPress=${() => onChange(shots.filter((_, place) => place !== at))} />`}
          </div>
        </li>`,
      )}
    </ol>
    <div class="shot-sum">
      ${limit && html`<${Bar} used=${Math.min(1, sum / limit)} label="${sum} of ${limit} seconds" />`}
      <span class="numbers ${over ? "fault" : "note"}">${plural(shots.length, "shot")}, ${sum} s${limit ? ` of ${limit} s` : ""}${over ? ": too long together" : ""}</span>
      ${shots.length < most && html`<${Button} icon="plus" onPress=${() => onChange([...shots, { duration: duration.type === "integer" ? SHORT : `${SHORT}` }])}>Add a shot</${Button}>`}
    </div>
    ${fault && html`<p class="fault">${fault}</p>`}
    ${note && html`<p class="note">${note}</p>`}
  </div>`;
}
