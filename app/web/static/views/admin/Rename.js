import { patch } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { Form, Text } from "./Form.js";

/** Another name for what is at `path`. @param {{path: string, name: string, onDone: () => any, onClose: () => void}} props */
export function Rename({ path, name, onDone, onClose }) {
  const [wanted, setWanted] = useState(name);
  const send = async () => {
    await patch(path, { name: wanted.trim() });
    await onDone();
    onClose();
  };
  return html`<${Form} title="Rename ${name}" action="Rename" onSend=${send} onClose=${onClose}>
    <${Text} member="/name" label="Name" value=${wanted} onInput=${setWanted} note="Keys, limits, jobs and money stay with them." />
  </${Form}>`;
}
