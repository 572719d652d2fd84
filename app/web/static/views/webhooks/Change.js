import { patch, post } from "../../core/api.js";
import { html, useEffect, useState } from "../../core/html.js";
import { models, modelName, readModels } from "../../core/models.js";
import { Switch } from "../../ui/Switch.js";
import { toast } from "../../ui/Toast.js";
import { Form, Once, Text } from "../admin/Form.js";
import { endpointAt } from "./where.js";
import { EVENTS } from "./words.js";

const USUAL = EVENTS.filter(({ usual }) => usual).map(({ name }) => name);

/**
 * A new endpoint, whose secret is shown once, or a change of one.
 * @param {{where: import("./where.js").Where, endpoint?: import("../../core/shapes.js").Endpoint, onDone: (id: string) => any, onClose: () => void}} props
 */
export function Change({ where, endpoint, onDone, onClose }) {
  const [url, setUrl] = useState(endpoint?.url ?? "https://");
  const [description, setDescription] = useState(endpoint?.description ?? "");
  const [events, setEvents] = useState(endpoint?.events ?? USUAL);
  const [only, setOnly] = useState(endpoint?.models ?? []);
  const [asymmetric, setAsymmetric] = useState(endpoint?.asymmetric ?? false);
  const [made, setMade] = useState(/** @type {import("../../core/shapes.js").NewEndpoint | null} */ (null));
  useEffect(() => void readModels(), []);
  const send = async () => {
    if (!events.length) throw new Error("Choose at least one event.");
    const body = { url: url.trim(), description: description.trim(), events, models: only.length ? only : null, asymmetric };
    if (!endpoint) return setMade(await post(`${where.api}webhook-endpoints`, body));
    await patch(endpointAt(where, endpoint.id), body);
    toast("The endpoint is changed.", { tone: "good" });
    await onDone(endpoint.id);
    return onClose();
  };
  const kept = () => {
    onClose();
    if (made) onDone(made.id);
  };
  if (made) {
    return html`<${Once} title="The endpoint's secret" text=${made.secret} onClose=${kept}
      note="Your server checks the signature of each message with it. Put it where the server reads its secrets, then send a test." />`;
  }
  const choices = [...new Set([...only, ...(models.value ?? []).map(({ id }) => id)])];
  return html`<${Form} title=${endpoint ? "Change the endpoint" : "Add an endpoint"} action=${endpoint ? "Save" : "Add the endpoint"} onSend=${send} onClose=${onClose}>
    <${Text} member="/url" label="Address" value=${url} onInput=${setUrl} note="An https address on the public internet." />
    <${Text} member="/description" label="What it is for (optional)" value=${description} onInput=${setDescription} placeholder="the shop" />
    <${Choice} legend="Events" chosen=${events} onChange=${setEvents} options=${EVENTS.map(({ name, means }) => ({ value: name, label: name, means }))} />
    ${choices.length > 0 && html`<details class="hook-more" open=${only.length > 0}><summary>Only jobs of certain models</summary>
      <${Choice} legend="Models" chosen=${only} onChange=${setOnly} options=${choices.map((id) => ({ value: id, label: modelName(id), means: "" }))} /></details>`}
    <${Switch} label="Sign with a public key as well" value=${asymmetric} onChange=${setAsymmetric} note="Adds a v1a signature, which a server checks without a secret." />
  </${Form}>`;
}

/** Any number of a few. @param {{legend: string, options: {value: string, label: string, means: string}[], chosen: string[], onChange: (chosen: string[]) => void}} props */
function Choice({ legend, options, chosen, onChange }) {
  return html`<fieldset class="field hook-choice"><legend>${legend}</legend>
    ${options.map(({ value, label, means }) => html`<label key=${value}><input type="checkbox" checked=${chosen.includes(value)}
      onChange=${() => onChange(chosen.includes(value) ? chosen.filter((one) => one !== value) : [...chosen, value])} />
      <span>${label}${means && html` <span class="note">${means}</span>`}</span></label>`)}
  </fieldset>`;
}
