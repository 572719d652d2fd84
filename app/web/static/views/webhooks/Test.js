import { get, post } from "../../core/api.js";
import { html, useEffect, useState } from "../../core/html.js";
import { sleep } from "../../core/retry.js";
import { Badge } from "../../ui/Badge.js";
import { Button } from "../../ui/Button.js";
import { Dialog } from "../../ui/Dialog.js";
import { Notice } from "../../ui/Notice.js";
import { Spinner } from "../../ui/Spinner.js";
import { outcomeWords } from "../jobs/words.js";
import { endpointAt } from "./where.js";

const LOOK_MS = 400;
const PATIENCE = 60; // looks: an attempt may take 15 s

/** @typedef {import("../../core/shapes.js").Delivery["attempts"][number]} Attempt */

/** Sends a test event, and shows how it was answered. @param {{where: import("./where.js").Where, id: string, onDone: () => any, onClose: () => void}} props */
export function Test({ where, id, onDone, onClose }) {
  const [turn, setTurn] = useState(1);
  const [attempt, setAttempt] = useState(/** @type {Attempt | null} */ (null));
  const [fault, setFault] = useState("");
  useEffect(() => {
    const shown = new AbortController();
    const { signal } = shown;
    setAttempt(null);
    setFault("");
    const send = async () => {
      const { delivery } = await post(`${endpointAt(where, id)}/test`, undefined, { signal });
      for (let look = 0; look < PATIENCE && !signal.aborted; look += 1) {
        await sleep(LOOK_MS, signal);
        const found = await get(`${where.api}deliveries/${delivery}`, { signal });
        if (found.attempts.length) return setAttempt(found.attempts.at(-1));
      }
      return setFault("It was not sent yet: others wait before it, or no sender of webhooks is alive. The log below shows when it goes.");
    };
    send().then(onDone).catch((error) => !signal.aborted && setFault(error.message));
    return () => shown.abort();
  }, [turn]);
  const settled = attempt !== null || fault !== "";
  return html`<${Dialog} title="A test" onClose=${onClose} actions=${html`<${Button} off=${!settled} icon="again" onPress=${() => setTurn(turn + 1)}>Send another</${Button}><${Button} onPress=${onClose}>Close</${Button}>`}>
    ${!settled && html`<p class="row" role="status"><${Spinner} /> Sent. Waiting for the answer.</p>`}
    ${fault && html`<${Notice} tone="bad">${fault}</${Notice}>`}
    ${attempt && html`<${Answer} attempt=${attempt} />`}
  </${Dialog}>`;
}

/** @param {{attempt: Attempt}} props */
function Answer({ attempt }) {
  const { outcome, status, duration_ms: took, answer } = attempt;
  const good = outcome === "delivered";
  return html`<div class="stack" role="status">
    <p class="row"><${Badge} tone="dot ${good ? "good" : "bad"}">${good ? "Delivered" : "Not taken"}</${Badge}><span>${status ? `It answered ${status}` : `No answer: ${outcomeWords(attempt)},`} after ${took} ms.</span></p>
    ${!good && html`<p class="note">It is tried again, as any message is. Mend the receiver: only an answer of 200 to 299 within 15 seconds counts.</p>`}
    <div><p class="note">${status ? "What it said" : "Why"}</p><pre class="hook-answer" tabindex="0"><code>${answer || (status ? "Nothing." : "It is not known.")}</code></pre></div>
  </div>`;
}
