// The session: begins with a key, and ends when it is removed or refused.

import { Api, forgetKey, readKey, storeKey } from "./api.js";
import { byId, say, show } from "./dom.js";
import { JobList } from "./jobs.js";
import { MakeForm } from "./make.js";
import { clearNotice, persist } from "./retry.js";
import { dollars } from "./words.js";

let session = null; // AbortController of the open room: its signal ends everything that runs in it

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = byId("key").value.trim();
  if (key) open(key);
});
byId("forget").addEventListener("click", () => close(""));

const known = readKey();
if (known) open(known);
else askForKey("");

function askForKey(reason) {
  byId("sign-in").hidden = false;
  show(byId("key-fault"), reason);
  byId("key").toggleAttribute("aria-invalid", Boolean(reason));
  byId("key").focus();
}

/** Ends the session: aborts requests, removes contents and key. */
function close(reason) {
  session?.abort();
  session = null;
  forgetKey();
  clearNotice();
  byId("ask").close();
  byId("key").value = "";
  for (const id of ["room", "account", "forget"]) byId(id).hidden = true;
  askForKey(reason);
}

async function open(key) {
  session?.abort();
  const { signal } = (session = new AbortController());
  const refused = () => signal.aborted || close("This key opens nothing: it is mistyped, has expired or was revoked.");
  const api = new Api(/^[\x21-\x7e]+$/.test(key) ? key : "-", { onKeyRefused: refused });
  show(byId("key-fault"), "");
  byId("forget").hidden = false;
  try {
    const me = await persist(() => api.get("me", { signal }), signal);
    const models = me && (await persist(() => api.get("models", { signal }), signal));
    if (!models || signal.aborted) return;
    storeKey(key);
    await enter(api, me, models.data, signal);
  } catch (error) {
    if (!signal.aborted) close(error.message);
  }
}

async function enter(api, me, models, signal) {
  showAccount(me);
  const asked = byId("sign-in").contains(document.activeElement);
  byId("sign-in").hidden = true;
  byId("key").value = "";
  for (const id of ["room", "account"]) byId(id).hidden = false;
  if (asked) byId("main").focus(); // what had the focus is gone
  const refresh = () => api.get("me", { signal }).then(showAccount, () => {}); // the next change asks again
  const form = new MakeForm({ api, models, signal, onMade });
  const list = new JobList({ api, models, signal, onChange: refresh, onReuse: (job) => form.reuse(job) });

  function onMade(job) {
    list.add(job);
    say("The clip is ordered.");
    refresh();
  }

  await list.run();
}

function showAccount({ team, user, usage }) {
  show(byId("team"), team.name);
  show(byId("user"), user.name);
  show(byId("spent"), dollars(usage.spent_usd));
  show(byId("reserved"), dollars(usage.reserved_usd));
}
