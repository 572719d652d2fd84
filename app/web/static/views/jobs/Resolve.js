// How an administrator ends a held job.

import { post } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { dollars } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Confirm } from "../../ui/Confirm.js";
import { Copy } from "../../ui/Copy.js";
import { Field } from "../../ui/Field.js";
import { Section } from "./History.js";
import { clockTime } from "./words.js";

const REQUEST = /^[A-Za-z0-9_-]{1,64}$/;

/** @typedef {{title: string, text: any, word: string, action: string, body: Record<string, any>}} Question */

/** @param {{job: any, onChange: () => any}} props */
export function Resolve({ job, onChange }) {
  const [asked, setAsked] = useState(/** @type {Question | null} */ (null));
  const [request, setRequest] = useState("");
  const [fault, setFault] = useState("");
  const send = async () => {
    await post(`admin/jobs/${job.id}/resolve`, asked?.body);
    await onChange();
  };
  const adopt = () => {
    const id = request.trim();
    if (!REQUEST.test(id)) return setFault("Paste the request's id from fal: letters, digits, - and _.");
    setFault("");
    return setAsked({
      title: "Adopt this request of fal?",
      text: html`Request <code>${id}</code> becomes this job's. Its clip is fetched when it is ready, and what it costs is charged.`,
      word: "adopt", action: "Adopt it", body: { action: "adopt", upstream_request_id: id },
    });
  };
  const resubmit = () => setAsked({
    title: "Submit it to fal again?",
    text: `If fal has the first request after all, the clip is made and paid twice: ${dollars(job.quoted_usd)} more, for nothing. Do this only when fal certainly does not have it.`,
    word: "resubmit", action: "Submit it again", body: { action: "resubmit" },
  });
  const fail = (/** @type {boolean} */ charged) => setAsked({
    title: charged ? "End it as failed and charged?" : "End it as failed, with nothing charged?",
    text: charged
      ? `The ${dollars(job.quoted_usd)} that are set aside count as spent. There will be no clip.`
      : `The ${dollars(job.quoted_usd)} that are set aside are given back. There will be no clip.`,
    word: "fail", action: charged ? "Fail it, charged" : "Fail it, not charged", body: { action: "fail", charged },
  });
  return html`<${Section} title="End it">
    <p>Look first, in fal's dashboard, at the requests of <code>${job.model}</code>${job.claimed_at ? html` of about <b>${clockTime(job.claimed_at)}</b>` : ""}.
      ${job.fal_tag && html` Ours has a tag that begins with <span class="copied"><code>${job.fal_tag}</code><${Copy} text=${job.fal_tag} label="Copy the tag" /></span>`}</p>
    <ol class="endings">
      <li><h3>fal has it</h3><p class="note">Copy its request id. The job goes on with it.</p>
        <div class="adopt"><${Field} label="fal's request id" fault=${fault}>
          ${(/** @type {any} */ ids) => html`<input ...${ids} type="text" autocomplete="off" spellcheck=${false} value=${request} onInput=${(/** @type {any} */ event) => setRequest(event.target.value)} />`}
        </${Field}><${Button} onPress=${adopt}>Adopt …</${Button}></div></li>
      <li><h3>fal certainly does not have it</h3><p class="note">It is bought as if for the first time.</p><${Button} onPress=${resubmit}>Submit again …</${Button}></li>
      <li><h3>Nobody needs it any more</h3><p class="note">It ends as failed. Say whether fal charged it: its billing page tells.</p>
        <div class="row"><${Button} onPress=${() => fail(false)}>Fail, not charged …</${Button}><${Button} onPress=${() => fail(true)}>Fail, charged …</${Button}></div></li>
    </ol>
    ${asked && html`<${Confirm} ...${asked} keep="Leave it held" onConfirm=${send} onClose=${() => setAsked(null)} />`}
  </${Section}>`;
}
