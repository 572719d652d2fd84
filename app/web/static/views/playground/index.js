// Make clips: the form beside what comes of it.

import { get } from "../../core/api.js";
import { html, useEffect, useState } from "../../core/html.js";
import { persist } from "../../core/retry.js";
import { Button } from "../../ui/Button.js";
import { Notice } from "../../ui/Notice.js";
import { Spinner } from "../../ui/Spinner.js";
import { Form } from "./form.js";
import { keepQuoting } from "./quote.js";
import { Stage, keepStage } from "./stage.js";
import { model, setModels } from "./state.js";

export function Playground() {
  const [fault, setFault] = useState("");
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const shown = new AbortController();
    const open = async () => {
      const list = await persist(() => get("models", { signal: shown.signal }), shown.signal);
      if (list) setModels(list.data);
    };
    setFault("");
    open().catch((error) => setFault(error.message));
    return () => shown.abort();
  }, [turn]);
  useEffect(() => {
    const shown = new AbortController();
    keepStage(shown.signal);
    keepQuoting(shown.signal);
    return () => shown.abort();
  }, []);
  return html`<div class="playground">
    ${model.value ? html`<${Form} />` : html`<div class="maker panel maker-waiting">${fault ? html`<${Notice} tone="bad" actions=${html`<${Button} onPress=${() => setTurn(turn + 1)}>Try again</${Button}>`}>${fault}</${Notice}>` : html`<${Spinner} label="Reading the models" />`}</div>`}
    <${Stage} />
  </div>`;
}
