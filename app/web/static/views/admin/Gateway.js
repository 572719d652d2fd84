import { get } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { Button } from "../../ui/Button.js";
import { ChangeLimits, LimitList } from "./Limits.js";
import { Raise } from "./Raise.js";
import { presentOf } from "./kinds.js";
import { Unread, useReading } from "./reading.js";

const EVERY_MS = 15_000;
const NAME = "the whole gateway";

/** The limits of all teams together. */
export function Gateway() {
  const [asked, setAsked] = useState("");
  const { value, fault, again } = useReading((signal) => get("admin/limits", { signal }), [], EVERY_MS);
  const close = () => setAsked("");
  if (!value) return html`<${Unread} fault=${fault} again=${again} label="Reading the limits" />`;
  const limits = presentOf(value.data);
  return html`<section class="panel stack" aria-label="Limits of the whole gateway">
    <div class="row"><div class="team-name"><h2>The whole gateway</h2><p class="note">All teams together. Its days, weeks and months are those of UTC.</p></div>
      <span class="push row">${limits.length > 0 && html`<${Button} onPress=${() => setAsked("raise")}>Raise for a while</${Button}>`}
      <${Button} kind=${limits.length ? "plain" : "main"} onPress=${() => setAsked("limits")}>${limits.length ? "Change the limits" : "Set a limit"}</${Button}></span></div>
    <${LimitList} limits=${limits} none="Nothing limits all teams together: what they may spend is the sum of their own limits. A limit here is the most that fal can ever bill, whatever the teams have." />
    <p class="note">A clip needs room under the gateway's limits, its team's and its user's. At 50, 80 and 100 % of a limit in dollars an alarm is written to the log, and sent to the receiver of alarms if one is set.</p>
    ${asked === "limits" && html`<${ChangeLimits} path="admin" name=${NAME} onDone=${again} onClose=${close} />`}
    ${asked === "raise" && html`<${Raise} path="admin" name=${NAME} limits=${limits} onDone=${again} onClose=${close} />`}
  </section>`;
}
