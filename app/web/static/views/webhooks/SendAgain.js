import { post } from "../../core/api.js";
import { html, useState } from "../../core/html.js";
import { Button } from "../../ui/Button.js";
import { toast } from "../../ui/Toast.js";

/** Sends a delivery once more. @param {{where: import("./where.js").Where, id: string, onChange: () => any}} props */
export function SendAgain({ where, id, onChange }) {
  const [busy, setBusy] = useState(false);
  const send = async () => {
    setBusy(true);
    try {
      await post(`${where.api}deliveries/${encodeURIComponent(id)}/replay`);
      toast("It is sent again now, with the same id.", { tone: "good" });
      await onChange();
    } catch (error) {
      toast(/** @type {Error} */ (error).message, { tone: "bad" });
    }
    setBusy(false);
  };
  return html`<${Button} icon="again" busy=${busy} onPress=${send}>Send again</${Button}>`;
}
