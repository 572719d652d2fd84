// How an administrator cancels somebody's job.

import { post } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { ENDS, cancelWarning } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Confirm } from "../../ui/Confirm.js";
import { whose } from "./Cards.js";

/** @param {{job: any, onChange: () => Promise<void>}} props */
export function CancelAny({ job, onChange }) {
  const [asking, setAsking] = useState(false);
  const cancel = async () => {
    await post(`admin/jobs/${job.id}/cancel`);
    await onChange();
  };
  if (ENDS.has(job.status) || job.cancel_requested_at) return null;
  return html`<div class="row job-actions">
    <${Button} icon="close" onPress=${() => setAsking(true)}>Cancel this job</${Button}>
    ${asking && html`<${Confirm} title="Cancel this job?" action="Cancel the job" onConfirm=${cancel} onClose=${() => setAsking(false)}
      text=${html`It was submitted by <b>${whose(job)}</b>. ${cancelWarning(job.status)}`} />`}
  </div>`;
}
