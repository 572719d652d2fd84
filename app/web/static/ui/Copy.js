import { html, useState } from "../core/html.js";
import { Button } from "./Button.js";
import { toast } from "./Toast.js";

/** Copies a text in one press. Without a text of its own the button is named by `label`. @param {{text: string, label?: string, kind?: any, children?: any}} props */
export function Copy({ text, label, kind = "quiet", children }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    if (!(await copyText(text))) return toast("The browser did not let the page copy. Select the text and copy it.", { tone: "bad" });
    setDone(true);
    setTimeout(() => setDone(false), 1600);
  };
  return html`<${Button} kind=${kind} icon=${done ? "check" : "copy"} label=${label ?? (children ? undefined : "Copy")} onPress=${copy}>${children && (done ? "Copied" : children)}</${Button}>`;
}

/** Copies a text; the Clipboard API is missing on plain http. @param {string} text @returns {Promise<boolean>} */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
  const area = Object.assign(document.createElement("textarea"), { value: text, className: "unseen" });
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
