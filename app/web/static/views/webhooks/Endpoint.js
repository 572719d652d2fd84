import { get, patch, post, remove } from "../../core/api.js";
import { html, useEffect, useState } from "../../core/html.js";
import { modelName, readModels } from "../../core/models.js";
import { go } from "../../core/router.js";
import { may } from "../../core/session.js";
import { useTitle } from "../../core/title.js";
import { plural } from "../../core/words.js";
import { Badge } from "../../ui/Badge.js";
import { Button } from "../../ui/Button.js";
import { Confirm } from "../../ui/Confirm.js";
import { Copy } from "../../ui/Copy.js";
import { Icon } from "../../ui/Icon.js";
import { Notice } from "../../ui/Notice.js";
import { Select } from "../../ui/Select.js";
import { Time } from "../../ui/Time.js";
import { toast } from "../../ui/Toast.js";
import { Form, Once } from "../admin/Form.js";
import { Unread, useReading } from "../admin/reading.js";
import { Address } from "./Address.js";
import { Change } from "./Change.js";
import { Log } from "./Log.js";
import { Test } from "./Test.js";
import { endpointAt } from "./where.js";
import { standing } from "./words.js";

const LOOK_MS = 4000;
const OVERLAPS = [["0", "not at all"], ["3600", "an hour"], ["86400", "a day"], ["604800", "a week"]].map(([value, label]) => ({ value, label }));

/** @typedef {import("../../core/shapes.js").Endpoint} Hook */
/** @typedef {import("./where.js").Where} Where */

/** The page of an endpoint. @param {{where: Where, id: string, query: URLSearchParams}} props */
export function Endpoint({ where, id, query }) {
  const { value, fault, again } = useReading((signal) => /** @type {Promise<Hook>} */ (get(endpointAt(where, id), { signal })), [id], LOOK_MS);
  useTitle(value ? `${standing(value)[0]}: ${value.url}` : "Webhooks");
  const back = html`<a class="back" href="${where.page}${where.query}"><${Icon} name="chevron" size=${16} />Webhooks</a>`;
  if (!value) return html`<div>${back}<${Unread} fault=${fault} again=${again} label="Reading the endpoint" /></div>`;
  const [words, tone] = standing(value);
  return html`<div class="stack">
    <header class="hook-head">${back}
      <h2><${Address} url=${value.url} /></h2>
      <p class="row"><${Badge} tone="dot ${tone}">${words}</${Badge}>${value.description && html`<span>${value.description}</span>`}<span class="note">added <${Time} at=${value.created_at} /></span></p>
      ${may("team:admin") && html`<${Actions} where=${where} endpoint=${value} onChange=${again} />`}
    </header>
    ${fault && html`<${Notice} tone="bad" actions=${html`<${Button} onPress=${again}>Try again</${Button}>`}>${fault}</${Notice}>`}
    <${State} where=${where} endpoint=${value} onChange=${again} />
    <div class="hook-columns"><${Log} where=${where} endpoint=${value} query=${query} /><${Facts} endpoint=${value} /></div>
  </div>`;
}

/** @param {{where: Where, endpoint: Hook, onChange: () => any}} props */
function Actions({ where, endpoint, onChange }) {
  const [asked, setAsked] = useState("");
  const [secret, setSecret] = useState("");
  const close = () => setAsked("");
  const address = endpointAt(where, endpoint.id);
  const active = endpoint.status === "active";
  const forget = async () => {
    await remove(address);
    toast("The endpoint is deleted.", { tone: "good" });
    go(`${where.page}${where.query}`, { replace: true });
  };
  return html`<div class="row">
    <${Button} kind="main" off=${!active && "Resume it first: nothing is sent to it."} onPress=${() => setAsked("test")}>Send a test</${Button}>
    <${Button} onPress=${() => setAsked("change")}>Change</${Button}>
    ${active && html`<${Pausing} address=${address} paused=${true} onChange=${onChange} />`}
    <${Button} onPress=${() => setAsked("rotate")}>New secret …</${Button}>
    <${Button} kind="quiet" icon="trash" onPress=${() => setAsked("delete")}>Delete …</${Button}>
    ${asked === "test" && html`<${Test} where=${where} id=${endpoint.id} onDone=${onChange} onClose=${close} />`}
    ${asked === "change" && html`<${Change} where=${where} endpoint=${endpoint} onDone=${onChange} onClose=${close} />`}
    ${asked === "rotate" && html`<${Rotate} address=${address} onMade=${setSecret} onChange=${onChange} onClose=${close} />`}
    ${secret && html`<${Once} title="The new secret" text=${secret} onClose=${() => setSecret("")} note="Put it beside the old one in your server, before the old one ends." />`}
    ${asked === "delete" && html`<${Confirm} title="Delete this endpoint?" word="delete" action="Delete it"
      text="What waits for it is not sent any more, and its log is gone. ${endpoint.url} is told nothing from now on." onConfirm=${forget} onClose=${close} />`}
  </div>`;
}

/** Pauses or resumes. @param {{address: string, paused: boolean, onChange: () => any}} props */
function Pausing({ address, paused, onChange }) {
  const [busy, setBusy] = useState(false);
  const press = async () => {
    setBusy(true);
    try {
      await patch(address, { paused });
      await onChange();
      toast(paused ? "Paused. What is to be sent waits." : "It is sent to again.", { tone: "good" });
    } catch (error) {
      toast(/** @type {Error} */ (error).message, { tone: "bad" });
    }
    setBusy(false);
  };
  return html`<${Button} kind=${paused ? "plain" : "main"} busy=${busy} onPress=${press}>${paused ? "Pause" : "Resume"}</${Button}>`;
}

/** A new secret; the old one also signs for a while. @param {{address: string, onMade: (secret: string) => void, onChange: () => any, onClose: () => void}} props */
function Rotate({ address, onMade, onChange, onClose }) {
  const [overlap, setOverlap] = useState("86400");
  const send = async () => {
    const { secret } = await post(`${address}/rotate-secret`, { overlap_seconds: Number(overlap) });
    onMade(secret);
    onClose();
    await onChange();
  };
  return html`<${Form} title="A new secret" action="Make the new secret" onSend=${send} onClose=${onClose}>
    <p class="note">Each message carries a signature of both meanwhile, so none is missed while you put the new one in place. Three may sign at once.</p>
    <${Select} label="The old secret also signs for" options=${OVERLAPS} value=${overlap} onChange=${setOverlap} />
  </${Form}>`;
}

/** Why it gets nothing, or is in trouble, and how to go on. @param {{where: Where, endpoint: Hook, onChange: () => any}} props */
function State({ where, endpoint, onChange }) {
  const { status, disabled_reason: reason, failures_in_a_row: failures, failing_since: since, next_probe_at: probe, paused_at: paused, disabled_at: disabled } = endpoint;
  const resume = may("team:admin") && html`<${Pausing} address=${endpointAt(where, endpoint.id)} paused=${false} onChange=${onChange} />`;
  if (status === "disabled") {
    return html`<${Notice} tone="bad" actions=${resume}><b>Disabled <${Time} at=${disabled} />.</b> ${reason} Nothing is sent to it. Mend the receiver, resume, and send what was given up once more.</${Notice}>`;
  }
  if (status === "paused") return html`<${Notice} tone="hold" actions=${resume}><b>Paused <${Time} at=${paused} />.</b> What is to be sent waits, and goes when it is resumed.</${Notice}>`;
  if (!failures) return null;
  return html`<${Notice} tone="hold"><b>${plural(failures, "failure")} in a row</b>${since && html`, the first <${Time} at=${since} />`}.
    ${probe ? html` It gets one message a minute to see whether it is back, the next <${Time} at=${probe} />.` : " Each message is tried again, less and less often, for about three days."} After 120 hours of failures it is disabled.</${Notice}>`;
}

/** @param {{endpoint: Hook}} props */
function Facts({ endpoint }) {
  useEffect(() => void readModels(), []);
  const { id, events, models, older_secrets_until: older, public_key: key } = endpoint;
  return html`<section class="panel stack hook-facts" aria-label="About the endpoint">
    <div><h3>Gets</h3><ul class="hook-tags">${events.map((name) => html`<li key=${name}><${Badge}>${name}</${Badge}></li>`)}</ul></div>
    <div><h3>Of</h3><p class="note">${models ? models.map(modelName).join(", ") : "all models"}</p></div>
    <div><h3>Signed with</h3><p class="note">Its secret, which was shown once${older.length > 0 && html`, and ${plural(older.length, "older one")}: until ${older.map((at, index) => html`${index ? " and " : ""}<${Time} at=${at} />`)}`}.</p>
      ${key && html`<p class="note sent-id">Our public key: <code>${key}</code><${Copy} text=${key} label="Copy the public key" /></p>`}</div>
    <div><h3>Id</h3><p class="note sent-id"><code>${id}</code><${Copy} text=${id} label="Copy the endpoint's id" /></p></div>
  </section>`;
}
