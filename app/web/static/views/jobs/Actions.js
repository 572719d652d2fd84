import { get, post, remove } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { go } from "../../core/router.js";
import { isAdministrator } from "../../core/session.js";
import { ENDS, cancelWarning, webAddress } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Confirm } from "../../ui/Confirm.js";
import { copyText } from "../../ui/Copy.js";
import { toast } from "../../ui/Toast.js";
import { ShareDialog } from "../share/ShareDialog.js";
import { models, reuse, setModels } from "../playground/state.js";

const SHARED_S = 86_400;

/** What can be done with a job. An administrator sees no contents, and acts on held jobs only. @param {{job: any, onChange: () => Promise<void>}} props */
export function Actions({ job, onChange }) {
  const [asking, setAsking] = useState("");
  if (isAdministrator()) return null;
  const over = ENDS.has(job.status);
  const file = webAddress((job.output?.video ?? job.output?.audio)?.url ?? "");
  const ready = job.status === "succeeded" && job.output;
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
      <${Button} icon="share" onPress=${() => setAsking("share")}>Share</${Button}>`}
    ${job.input && html`<${Button} kind=${job.status === "failed" ? "main" : "plain"} icon="again" onPress=${() => again(job)}>Again</${Button}>`}
    ${!over && !job.cancel_requested_at && html`<${Button} icon="close" onPress=${() => setAsking("cancel")}>Cancel</${Button}>`}
    ${over && job.input !== null && html`<${Button} kind="quiet" icon="trash" onPress=${() => setAsking("erase")}>Erase</${Button}>`}
    ${asking === "share" && html`<${ShareDialog} job=${job} onClose=${() => setAsking("")} />`}
    ${asking === "cancel" && html`<${Confirm} title="Cancel this clip?" text=${cancelWarning(job.status)} action="Cancel the clip" onConfirm=${cancel} onClose=${() => setAsking("")} />`}
    ${asking === "erase" && html`<${Confirm} title="Erase this clip?" word="erase" action="Erase it" onConfirm=${erase} onClose=${() => setAsking("")}
      text="Its prompt, its pictures and its clip are erased for good, for everybody. What it cost stays in the ledger." />`}
  </div>`;
}

/** Copies an address that needs no key. @param {any} job */
async function copyLink(job) {
  try {
    const { url } = await post(`jobs/${job.id}/video/link`, { expires_in: SHARED_S });
    const done = await copyText(url);
    toast(done ? "The link is copied. It needs no key and works for a day." : `The browser did not let the page copy: ${url}`, { tone: done ? "good" : "bad" });
  } catch (error) {
    toast(/** @type {Error} */ (error).message, { tone: "bad" });
  }
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
