// The start: who is at the page, then the shell with the view of the address.

import { focusContent } from "./core/focus.js";
import { effect, html, render } from "./core/html.js";
import { startNotices } from "./core/notices.js";
import { persist } from "./core/retry.js";
import { place, startRouter } from "./core/router.js";
import { resume, session } from "./core/session.js";
import { register, viewOf } from "./core/views.js";
import { fetchView } from "./shell/Loaded.js";
import { Shell } from "./shell/Shell.js";
import { VIEWS } from "./views.js";

register(VIEWS);
startNotices();
startRouter((path) => viewOf(path) !== null);
const opened = viewOf(place.value.path);
if (opened) fetchView(opened.view).catch(() => {}); // while it is found out who is here; its place says so if it fails
render(html`<${Shell} />`, /** @type {HTMLElement} */ (document.getElementById("app")));

let before = place.value.path;
effect(() => {
  const { path } = place.value;
  if (path === before) return;
  before = path;
  focusContent(); // a reader begins at the new view
});

await persist(resume, new AbortController().signal).catch((error) => {
  session.value = { state: "out", role: null, reason: error.message };
});
