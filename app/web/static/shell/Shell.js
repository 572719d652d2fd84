import { about, aboutAsked, readAbout } from "../core/about.js";
import { html, useEffect, useState } from "../core/html.js";
import { outage } from "../core/retry.js";
import { place } from "../core/router.js";
import { session } from "../core/session.js";
import { useShortcuts } from "../core/shortcuts.js";
import { useTitle } from "../core/title.js";
import { mayOpen, viewOf, views } from "../core/views.js";
import { Button } from "../ui/Button.js";
import { Empty } from "../ui/Empty.js";
import { Spinner } from "../ui/Spinner.js";
import { Toasts } from "../ui/Toast.js";
import { SignIn } from "../views/sign-in/index.js";
import { Loaded } from "./Loaded.js";
import { Rail } from "./Rail.js";
import { ShortcutList } from "./ShortcutList.js";

/** Everything on the page: the rail, the view of the address, and what lies above them. */
export function Shell() {
  const [help, setHelp] = useState(false);
  useEffect(() => void readAbout(), []);
  useShortcuts([{ keys: "?", label: "Show the shortcuts", run: () => setHelp(true) }]);
  return html`<a class="skip" href="#main">To the content</a>
    <${Outage} />
    ${about.value?.emulated && html`<aside class="banner" aria-label="Emulator">This is the emulator: clips are drawings, and nothing costs money.</aside>`}
    <${Content} />
    ${help && html`<${ShortcutList} onClose=${() => setHelp(false)} />`}
    <${Toasts} />`;
}

function Outage() {
  if (!outage.value) return null;
  const { reason, seconds } = outage.value;
  return html`<div class="outage"><span role="status">${reason}</span> <span aria-hidden="true">${seconds ? `Retrying in ${seconds} s.` : "Retrying …"}</span></div>`;
}

function Content() {
  const { path, query } = place.value;
  const { state, role } = session.value;
  const found = viewOf(path);
  if (found?.view.who === "anybody") return html`<main id="main" tabindex="-1"><${Loaded} key=${found.view.name} view=${found.view} params=${found.params} query=${query} /></main>`;
  if (state === "starting" || (state === "out" && !aboutAsked.value)) return html`<main id="main" class="starting" tabindex="-1"><${Spinner} label="Opening" /></main>`;
  if (state === "out") return html`<main id="main" tabindex="-1"><${SignIn} /></main>`;
  return html`<div class="shell">
    <${Rail} />
    <main id="main" class="outlet" tabindex="-1">
      ${found && mayOpen(found.view, role)
        ? html`<${Loaded} key=${found.view.name} view=${found.view} params=${found.params} query=${query} />`
        : html`<${Nothing} known=${Boolean(found)} />`}
    </main>
  </div>`;
}

/** @param {{known: boolean}} props */
function Nothing({ known }) {
  const { role } = session.value;
  const home = views.find((view) => view.rail && mayOpen(view, role));
  useTitle(known ? "Not for this key" : "Not found");
  const text = known
    ? role === "administrator"
      ? "The administrator's key belongs to no user, so it makes no clips. Sign in with a user's key for this."
      : "This key may not see it. Ask an administrator."
    : "There is nothing at this address. The link may be old, or cut off.";
  return html`<div class="page"><h1 class="unseen">${known ? "Not for this key" : "Not found"}</h1>
    <${Empty} icon="info" title=${known ? "Not for this key" : "Nothing here"} text=${text}>
      ${home?.rail && html`<${Button} href=${home.rail.path}>Go to ${home.rail.label}</${Button}>`}
    </${Empty}></div>`;
}
