import { get, post, remove } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { fileOf } from "../../core/job.js";
import { models } from "../../core/models.js";
import { go } from "../../core/router.js";
import { isAdministrator, mayAct } from "../../core/session.js";
import { ENDS, cancelWarning, webAddress } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Confirm } from "../../ui/Confirm.js";
import { toast } from "../../ui/Toast.js";
import { ShareDialog } from "../share/ShareDialog.js";
import { copyLink } from "../share/copyLink.js";
import { reuse, setModels } from "../playground/state.js";
import { CancelAny } from "./CancelAny.js";

/** What can be done with a job. An administrator sees no contents, and can cancel. @param {{job: any, onChange: () => Promise<void>}} props */
export function Actions({ job, onChange }) {
  const [asking, setAsking] = useState("");
  if (isAdministrator()) return html`<${CancelAny} job=${job} onChange=${onChange} />`;
  const over = ENDS.has(job.status);
  const file = webAddress(fileOf(job)?.url ?? "");
  const ready = job.status === "succeeded" && job.output;
  const mine = mayAct(job);
  const cancel = async () => {
    await post(`jobs/${job.id}/cancel`);
    await onChange();
  };
  const erase = async () => {
    await remove(`jobs/${job.id}`);
    toast("Its prompt, its pictures and its clip are erased.", { tone: "good" });
    await onChange();
  };
  return html`<div class="row job-actions">
    ${ready && file && html`<${Button} kind="main" icon="down" href=${file} download="${job.id}.mp4" target="_blank" rel="noopener noreferrer">Download</${Button}>`}
    ${ready && job.output.video && html`<${Button} icon="link" onPress=${() => copyLink(job)}>Copy link</${Button}>
      ${mine && html`<${Button} icon="share" onPress=${() => setAsking("share")}>Share</${Button}>`}`}
    ${job.input && html`<${Button} kind=${job.status === "failed" ? "main" : "plain"} icon="again" onPress=${() => again(job)}>Again</${Button}>`}
    ${mine && !over && !job.cancel_requested_at && html`<${Button} icon="close" onPress=${() => setAsking("cancel")}>Cancel</${Button}>`}
    ${mine && over && job.input !== null && html`<${Button} kind="quiet" icon="trash" onPress=${() => setAsking("erase")}>Erase</${Button}>`}
    ${asking === "share" && html`<${ShareDialog} job=${job} onClose=${() => setAsking("")} />`}
    ${asking === "cancel" && html`<${Confirm} title="Cancel this clip?" text=${cancelWarning(job.status)} action="Cancel the clip" onConfirm=${cancel} onClose=${() => setAsking("")} />`}
    ${asking === "erase" && html`<${Confirm} title="Erase this clip?" word="erase" action="Erase it" onConfirm=${erase} onClose=${() => setAsking("")}
      text="Its prompt, its pictures and its clip are erased for good, for everybody. What it cost stays in the ledger." />`}
  </div>`;
}

/** Opens the playground filled in with the job's input. @param {any} job */
async function again(job) {
  try {
    if (!models.value) setModels((await get("models")).data);
    reuse(job);
    go("/");
  } catch (error) {
    toast(/** @type {Error} */ (error).message, { tone: "bad" });
  }
}
