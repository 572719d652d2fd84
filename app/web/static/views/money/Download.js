import { html, useState } from "../../core/html.js";
import { Button } from "../../ui/Button.js";
import { toast } from "../../ui/Toast.js";
import { download } from "./report.js";

/** Saves what is at an address of the API as a file of CSV. @param {{address: string}} props */
export function Download({ address }) {
  const [busy, setBusy] = useState(false);
  const save = () => {
    setBusy(true);
    download(address)
      .catch((/** @type {Error} */ error) => toast(`The file was not made. ${error.message}`, { tone: "bad" }))
      .finally(() => setBusy(false));
  };
  return html`<${Button} icon="down" busy=${busy} onPress=${save}>Download CSV</${Button}>`;
}
