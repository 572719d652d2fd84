import { html, useEffect, useState } from "../../core/html.js";
import { post } from "../../core/api.js";
import { persist } from "../../core/retry.js";
import { go } from "../../core/router.js";
import { accept } from "../../core/session.js";
import { useTitle } from "../../core/title.js";
import { Button } from "../../ui/Button.js";
import { Copy } from "../../ui/Copy.js";
import { Notice } from "../../ui/Notice.js";
import { Spinner } from "../../ui/Spinner.js";
import { Time } from "../../ui/Time.js";

/** `/invite#CODE`: who is invited to what, and the key that is shown once. */
export function Invite() {
  const [code] = useState(() => location.hash.slice(1));
  const [invited, setInvited] = useState(/** @type {import("../../core/shapes.js").Invited | null} */ (null));
  const [fault, setFault] = useState("");
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  useTitle(key ? "Your key" : "Invitation");
  useEffect(() => {
    const shown = new AbortController();
    persist(() => post("invitations/read", { code: code || "-" }), shown.signal).then(setInvited, (error) => setFault(error.message));
    return () => shown.abort();
  }, []);

  const take = async () => {
    setBusy(true);
    setFault("");
    try {
      setKey(await accept(code));
      history.replaceState(null, "", "/invite"); // it opens nothing any more
    } catch (error) {
      setFault(/** @type {Error} */ (error).message);
    }
    setBusy(false);
  };

  if (key) return html`<${Shown} text=${key} />`;
  if (fault && !invited) return html`<div class="page stack"><h1>This invitation cannot be used</h1><${Notice} tone="bad">${fault}</${Notice}>
    <div class="row"><${Button} href="/">Sign in with a key</${Button}></div></div>`;
  if (!invited) return html`<div class="starting"><${Spinner} label="Reading the invitation" /></div>`;
  return html`<div class="page stack">
    <h1>${invited.user.name}, you are invited to ${invited.team.name}</h1>
    <p>Filmgate makes clips with Kling for your team. You get a key of your own${invited.key_name && html` (${invited.key_name})`}: it is shown once,
      and this browser is signed in with it. The invitation works once, and ends <${Time} at=${invited.expires_at} />.</p>
    ${fault && html`<${Notice} tone="bad">${fault}</${Notice}>`}
    <div class="row"><${Button} kind="main" busy=${busy} onPress=${take}>Get my key</${Button}></div>
  </div>`;
}

/** @param {{text: string}} props */
const Shown = ({ text }) => html`<div class="page stack">
  <h1>Your key</h1>
  <p>Keep it where you keep passwords, for programs and other devices. It is shown this once; this browser does not need it again.</p>
  <div class="row"><code id="new-key">${text}</code><${Copy} text=${text} kind="plain">Copy the key</${Copy}></div>
  <div class="row"><${Button} kind="main" onPress=${() => go("/")}>Open Filmgate</${Button}></div>
</div>`;
