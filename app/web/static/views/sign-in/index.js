import { about } from "../../core/about.js";
import { html, useEffect, useState } from "../../core/html.js";
import { leaveForProvider, session, signIn, signInByProxy, signOnFault } from "../../core/session.js";
import { useTitle } from "../../core/title.js";
import { Button } from "../../ui/Button.js";
import { Field } from "../../ui/Field.js";
import { Notice } from "../../ui/Notice.js";
import { Switch } from "../../ui/Switch.js";

/** The first page: what this is, and where a key comes from. */
export function SignIn() {
  const [key, setKey] = useState("");
  const [remember, setRemember] = useState(false);
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState(session.value.reason);
  useTitle("Sign in");

  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    if (!key.trim()) return setFault("Give a key first. It begins with fg_.");
    setBusy(true);
    setFault("");
    try {
      await signIn({ key: key.trim(), remember });
    } catch (error) {
      setFault(/** @type {Error} */ (error).message);
      setBusy(false);
    }
  };

  const { provider, proxy } = about.value?.sign_in ?? {};
  const elsewhere = Boolean(provider || proxy);

  // The field has no name and the form posts: should the script be missing, a key still never gets into an address.
  return html`<div class="sign-in">
    <section class="sign-in-words">
      <p class="brand"><img src="/static/icon.svg" alt="" width="34" height="34" />Filmgate</p>
      <h1>Clips from pictures and words.</h1>
      <p>Your team's gateway to Kling at fal. You see the price before you order, nothing is bought twice, and every clip is here when it is done.</p>
    </section>
    <form class="panel stack" method="post" onSubmit=${submit} novalidate>
      <h2>Sign in</h2>
      ${proxy && html`<${Elsewhere} run=${signInByProxy}>Continue as ${proxy}</${Elsewhere}>`}
      ${provider && html`<${Elsewhere} kind=${proxy ? "plain" : "main"} run=${leaveForProvider}>Sign in with ${provider}</${Elsewhere}>`}
      ${signOnFault.value && html`<${Notice} tone="bad">${signOnFault.value}</${Notice}>`}
      ${elsewhere && html`<p class="sign-in-or">or with a key</p>`}
      <${Field} label="Filmgate key" id="key" fault=${fault} note="The page does not keep it: it is exchanged for a session in this browser.">
        ${(/** @type {any} */ ids) => html`<input ...${ids} type="password" autocomplete="off" autocapitalize="off" spellcheck=${false} autofocus=${!elsewhere}
          placeholder="fg_…" value=${key} onInput=${(/** @type {any} */ event) => setKey(event.target.value)} />`}
      </${Field}>
      <${Switch} label="Keep me signed in on this device" note="For 30 days. Otherwise until the browser is closed, or 12 hours without use." value=${remember} onChange=${setRemember} />
      <${Button} type="submit" kind=${elsewhere ? "plain" : "main"} busy=${busy}>Sign in</${Button}>
      <details class="where"><summary>Where do I get a key?</summary>
        <p>From whoever runs this gateway. If that is you: <code>filmgate up</code> prints one when it starts, with a link that
        signs in, and <code>filmgate users invite</code> prints a link under which a colleague gets one.</p></details>
    </form>
  </div>`;
}

/**
 * A button for an account that is kept elsewhere; why it did not sign in stands below.
 * @param {{run: () => Promise<void>, kind?: "plain" | "main", children?: any}} props
 */
function Elsewhere({ run, kind = "main", children }) {
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    const back = () => setBusy(false); // Back from the provider may show this page as it was left
    addEventListener("pageshow", back);
    return () => removeEventListener("pageshow", back);
  }, []);
  const press = async () => {
    setBusy(true);
    try {
      await run();
    } catch (error) {
      signOnFault.value = /** @type {Error} */ (error).message;
      setBusy(false);
    }
  };
  return html`<${Button} kind=${kind} busy=${busy} onPress=${press}>${children}</${Button}>`;
}
