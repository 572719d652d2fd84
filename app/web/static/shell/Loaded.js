import { html, signal, useEffect, useState } from "../core/html.js";
import { session } from "../core/session.js";
import { mayOpen, views } from "../core/views.js";
import { Button } from "../ui/Button.js";
import { Empty } from "../ui/Empty.js";
import { Spinner } from "../ui/Spinner.js";

const soon = globalThis.requestIdleCallback ?? ((/** @type {() => void} */ act) => setTimeout(act, 500));

/** The components that are here, by the name of their view. @type {import("../core/html.js").Signal<Record<string, any>>} */
const loaded = signal({});

/** Fetches a view's scripts, once. @param {import("../core/views.js").View} view */
export async function fetchView(view) {
  if (view.name in loaded.value) return;
  const component = await view.load();
  loaded.value = { ...loaded.value, [view.name]: component };
}

/** When there is nothing else to do: the other views open at once, also while the gateway is away. */
function fetchOthers() {
  for (const view of views) if (view.rail && mayOpen(view, session.value.role)) fetchView(view).catch(() => {});
}

/** A view, once its scripts are here. @param {{view: import("../core/views.js").View, params: Record<string, string>, query: URLSearchParams}} props */
export function Loaded({ view, params, query }) {
  const [failed, setFailed] = useState(false);
  const component = loaded.value[view.name];
  useEffect(() => {
    fetchView(view).then(() => soon(fetchOthers), () => setFailed(true));
  }, [view]);
  if (component) return html`<${component} params=${params} query=${query} />`;
  if (!failed) return html`<div class="page"><${Spinner} label="Opening" /></div>`;
  return html`<div class="page"><${Empty} icon="warning" title="This view is not here yet" text="Its scripts could not be fetched: the gateway may be away.">
    <${Button} onPress=${() => location.reload()}>Load the page again</${Button}></${Empty}></div>`;
}
