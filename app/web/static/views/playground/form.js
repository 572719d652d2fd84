// The form, drawn from the model's schema.

import { html, useState } from "../../core/html.js";
import { useShortcuts } from "../../core/shortcuts.js";
import { label } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Segments } from "../../ui/Segments.js";
import { CodeDialog } from "./code.js";
import { Control } from "./member.js";
import { ModelChoice } from "./models.js";
import { Order, press } from "./price.js";
import { blocked, faultOf, faultsByMember, quote } from "./quote.js";
import { canSample, takeSample } from "./sample.js";
import { hasStoryboard, membersOf } from "./schema.js";
import { clearDraft, draft, model, setValue } from "./state.js";

const WAYS = [
  { value: "prompt", label: "One prompt" },
  { value: "storyboard", label: "Storyboard" },
];

export function Form() {
  const [code, setCode] = useState(false);
  useShortcuts([
    { keys: "mod+Enter", label: "Make the clip", run: () => blocked(quote.value) || press() },
    { keys: "m", label: "Choose a model", run: () => document.getElementById("model")?.click() },
    { keys: "c", label: "The same call as code", run: () => setCode(true) },
  ]);
  const one = model.value;
  if (!one) return null;
  const { main, more } = membersOf(one);
  const { values, storyboard } = draft.value;
  const board = hasStoryboard(one);
  const shown = main.filter(({ kind, name }) => (board && storyboard ? name !== "prompt" && name !== "duration" : kind !== "storyboard"));
  const words = shown.findIndex(({ name, kind }) => name === "prompt" || kind === "storyboard");
  const faulty = more.some(({ name }) => faultsByMember()[name]);
  const control = (/** @type {any} */ { name, schema, required }, /** @type {number} */ at) => html`
    ${board && at === words && html`<${Segments} label="Words" hideLabel options=${WAYS} value=${storyboard ? "storyboard" : "prompt"}
      onChange=${(/** @type {string} */ next) => (draft.value = { ...draft.value, storyboard: next === "storyboard" })} />`}
    <${Control} key=${`${one.id} ${name}`} name=${name} schema=${schema} required=${required} value=${values[name]} fault=${faultOf(name)}
      picture=${values.image_url ?? values.start_image_url} pastes=${name === firstPicture(main)} onChange=${(/** @type {any} */ next) => setValue(name, next)} />`;
  // Nothing is sent by the form itself: should the script be missing, nothing gets into an address.
  return html`<form class="maker panel" method="post" novalidate onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
    <div class="maker-head"><h1>Playground</h1>
      ${canSample(one) && html`<${Button} kind="quiet" icon="picture" onPress=${takeSample}>Try a sample</${Button}>`}
      <${Button} kind="quiet" icon="code" label="The same call as code" onPress=${() => setCode(true)} />
      <${Button} kind="quiet" icon="trash" label="Empty the form" onPress=${clearDraft} />
    </div>
    <div class="maker-body">
      <${ModelChoice} />
      ${shown.map(control)}
      ${more.length > 0 && html`<details class="advanced" open=${faulty || more.some(({ name }) => values[name] !== undefined)}><summary>Advanced<span class="note">${more.map(({ name }) => label(name)).join(", ")}</span></summary>
        <div class="stack">${more.map((member) => control(member, -1))}</div></details>`}
    </div>
    <${Order} />
    ${code && html`<${CodeDialog} onClose=${() => setCode(false)} />`}
  </form>`;
}

/** The member that a pasted picture goes to. @param {any[]} main */
function firstPicture(main) {
  const { values } = draft.value;
  const pictures = main.filter(({ kind, schema }) => (kind === "media" && schema.format === "image-url") || kind === "media-list");
  return (pictures.find(({ name, kind }) => kind === "media-list" || !values[name]?.url) ?? pictures[0])?.name;
}
