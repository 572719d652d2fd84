import { get, patch } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { fileSize, plural } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Notice } from "../../ui/Notice.js";
import { StorageBar } from "../team/Storage.js";
import { Form, Text } from "./Form.js";
import { Unread, useReading } from "./reading.js";

const GB = 1e9;

/** @typedef {import("../../core/shapes.js").StorageReport} Report */
/** @typedef {Report["data"][number]} OfTeam */

/** What each team's clips and inputs occupy, and how long they are kept. */
export function Storage() {
  const [asked, setAsked] = useState(/** @type {OfTeam | null} */ (null));
  const { value, fault, again } = useReading((signal) => /** @type {Promise<Report>} */ (get("admin/storage", { signal })), []);
  if (!value) return html`<${Unread} fault=${fault} again=${again} label="Reading the storage" />`;
  const { kept, retention_days: days, used_bytes: used, held_bytes: held, data } = value;
  return html`<section class="stack" aria-label="Storage">
    ${fault && html`<${Notice} tone="bad" actions=${html`<${Button} onPress=${again}>Try again</${Button}>`}>${fault}</${Notice}>`}
    ${kept
      ? html`<div class="panel stack"><p class="figure numbers">${fileSize(used)} <span class="soft">of clips and inputs${held > 0 && `, and ${fileSize(held)} on their way`}</span></p>
          <p class="note">Files of ended jobs go after ${plural(days, "day")}, unless a team has days of its own.</p></div>`
      : html`<${Notice} tone="info">Nothing is copied: clips stay at fal, for a week at least. Set FILMGATE_STORAGE to a folder or a bucket to keep them. <a href="/docs/guide/storage" target="_blank">How to</a></${Notice}>
          <p class="note">The records of ended jobs go after ${plural(days, "day")}, unless a team has days of its own.</p>`}
    ${data.length > 0 && html`<div class="panel"><div class="table-scroll" tabindex="0" role="region" aria-label="Storage by team"><table class="table numbers kept-of"><thead><tr><th scope="col">Team</th><th scope="col">Used</th><th scope="col" class="number">${kept ? "Kept for" : "Records kept for"}</th><th scope="col"><span class="unseen">Change</span></th></tr></thead>
      <tbody>${data.map((one) => html`<tr key=${one.team}><th scope="row">${one.name}</th>
        <td><p>${!kept && one.limit_bytes === null ? html`<span class="soft">no copies</span>` : html`${fileSize(one.used_bytes)}<span class="soft">${one.limit_bytes === null ? ", no limit" : ` of ${fileSize(one.limit_bytes)}`}${one.held_bytes > 0 && `, ${fileSize(one.held_bytes)} on their way`}</span>`}</p><${StorageBar} use=${one} /></td>
        <td class="number">${plural(one.retention_days, "day")}</td>
        <td class="number"><${Button} kind="quiet" onPress=${() => setAsked(one)} label="Change the storage of ${one.name}">Change …</${Button}></td></tr>`)}</tbody></table></div></div>`}
    ${asked && html`<${Change} team=${asked} gateway=${days} kept=${kept} onDone=${again} onClose=${() => setAsked(null)} />`}
  </section>`;
}

/** `kept`: whether files are. @param {{team: OfTeam, gateway: number, kept: boolean, onDone: () => any, onClose: () => void}} props */
function Change({ team, gateway, kept, onDone, onClose }) {
  const [limit, setLimit] = useState(team.limit_bytes === null ? "" : `${team.limit_bytes / GB}`);
  const [days, setDays] = useState(team.retention_days === gateway ? "" : `${team.retention_days}`);
  const send = async () => {
    const size = Number(limit.trim());
    if (limit.trim() && !(size >= 0)) throw new Error("Give the limit in gigabytes, such as 50.");
    if (days.trim() && !/^\d+$/.test(days.trim())) throw new Error("Give whole days, such as 90.");
    await patch(`admin/teams/${team.team}`, {
      storage_bytes: limit.trim() ? Math.round(size * GB) : "unlimited",
      retention_days: days.trim() ? Number(days) : "gateway",
    });
    await onDone();
    onClose();
  };
  return html`<${Form} title="Storage of ${team.name}" action="Set it" onSend=${send} onClose=${onClose}>
    <${Text} member="/storage_bytes" label="Limit in GB" value=${limit} onInput=${setLimit} placeholder="no limit" note="For its clips and inputs together. What is there already stays; what would be too much is refused, and clips stay at fal." />
    <${Text} member="/retention_days" label="Days to keep" value=${days} onInput=${setDays} placeholder="${gateway}, as the gateway" note=${kept ? "For jobs that end, and files that are stored, from now on." : "For the records of jobs that end from now on; no files are kept."} />
  </${Form}>`;
}
