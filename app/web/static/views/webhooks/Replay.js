import { post, serverNow } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { Field } from "../../ui/Field.js";
import { Segments } from "../../ui/Segments.js";
import { toast } from "../../ui/Toast.js";
import { Form } from "../admin/Form.js";

const WHICH = [["dead", "Given up"], ["all", "Delivered ones too"]].map(([value, label]) => ({ value, label }));
const SINCE = [["3600", "The last hour"], ["86400", "Day"], ["604800", "Week"], ["", "From … to"]].map(([value, label]) => ({ value, label }));

/** @param {string} local of an input @param {string} what */
function moment(local, what) {
  if (!local) throw new Error(`Say ${what}.`);
  return new Date(local).toISOString();
}

/** Sends what went to an endpoint in a period once more. @param {{where: import("./where.js").Where, id: string, onDone: () => any, onClose: () => void}} props */
export function Replay({ where, id, onDone, onClose }) {
  const [which, setWhich] = useState("dead");
  const [since, setSince] = useState("86400");
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const send = async () => {
    const span = since
      ? { from: new Date(serverNow() - Number(since) * 1000).toISOString() }
      : { from: moment(from, "from when on"), to: moment(to, "until when") };
    let [sent, skipped] = [0, 0];
    let cursor = null;
    do {
      /** @type {any} */
      const done = await post(`${where.api}deliveries/replay`, { endpoint: id, ...span, ...(which === "dead" && { status: "dead" }), ...(cursor && { cursor }) });
      sent += done.replayed;
      skipped += done.skipped;
      cursor = done.next_cursor;
    } while (cursor);
    const left = skipped ? ` ${skipped === 1 ? "One was" : `${skipped} were`} left out: on the way already.` : "";
    toast(sent ? `${sent === 1 ? "One is" : `${sent} are`} sent again.${left}` : `There was nothing to send again in this time.${left}`, { tone: sent ? "good" : "" });
    await onDone();
    onClose();
  };
  return html`<${Form} title="Send many again" action="Send them again" onSend=${send} onClose=${onClose}>
    <p class="note">The same messages with the same ids, the oldest first, ten a second at most: a receiver that remembers ids notices what it had already.</p>
    <${Segments} label="Which" options=${WHICH} value=${which} onChange=${setWhich} />
    <${Segments} label="From which time" options=${SINCE} value=${since} onChange=${setSince} />
    ${!since && html`<${At} label="From" value=${from} onInput=${setFrom} /><${At} label="To" value=${to} onInput=${setTo} />`}
  </${Form}>`;
}

/** @param {{label: string, value: string, onInput: (value: string) => void}} props */
const At = ({ label, value, onInput }) => html`<${Field} label=${label}>
  ${(/** @type {any} */ ids) => html`<input ...${ids} type="datetime-local" value=${value} onInput=${(/** @type {any} */ event) => onInput(event.target.value)} />`}
</${Field}>`;
