// The browser's notices: offered once, after the first order, and switched at the bell.

import { focusContent } from "../core/focus.js";
import { html } from "../core/html.js";
import { able, choice, choose, ordered, permission } from "../core/notices.js";
import { Button } from "./Button.js";
import { toast } from "./Toast.js";

const BLOCKED = "The browser does not let this page show notices. Allow them in its settings for this address, then press the bell again.";

/** @param {boolean} on */
async function wish(on) {
  if (await choose(on)) toast(on ? "You are told when a clip is done." : "No notices on this device.");
  else toast(BLOCKED, { tone: "bad" });
}

/** Whether notices come to this device. Where the browser has none, there is nothing to switch. */
export function Bell() {
  if (!able) return null;
  const on = choice.value === "on" && permission() === "granted";
  return html`<${Button} kind="quiet" icon="bell" label="Tell me when a clip is done" aria-pressed=${on} onPress=${() => wish(!on)} />`;
}

/** @param {boolean} on */
async function answer(on) {
  await (on ? wish(true) : choose(false));
  focusContent(); // the buttons are gone
}

/** Asked in words before the browser asks, and once for each device. */
export function NoticeOffer() {
  if (!able || !ordered.value || choice.value || permission() === "denied") return null;
  return html`<section class="offer" aria-label="Notices">
    <p>Be told when a clip is done, while you look elsewhere? A notice of the browser, without a sound.</p>
    <div class="row"><${Button} onPress=${() => answer(true)}>Tell me</${Button}><${Button} kind="quiet" onPress=${() => answer(false)}>No notices</${Button}></div>
  </section>`;
}
