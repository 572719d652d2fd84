import { html, useEffect, useState } from "../../core/html.js";
import { go } from "../../core/router.js";
import { comeBack, signIn, signOnFault } from "../../core/session.js";
import { useTitle } from "../../core/title.js";
import { Button } from "../../ui/Button.js";
import { Notice } from "../../ui/Notice.js";
import { Spinner } from "../../ui/Spinner.js";

const CANCELLED = "access_denied"; // RFC 6749, section 4.1.2.1
const WORD = /^[a-z_]{1,40}$/; // others may be anybody's text: the address is whoever's who made the link

/** `/enter#CODE`: a link that signs in once. `/enter?code=…&state=…`: back from the provider of single sign-on. */
export function Enter() {
  const [fault, setFault] = useState("");
  useTitle("Signing in");
  useEffect(() => {
    const [code, query] = [location.hash.slice(1), new URLSearchParams(location.search)];
    history.replaceState(null, "", "/enter"); // it works once, so nobody needs it in the history
    if (query.has("state")) return void returned(query);
    if (!code) return go("/", { replace: true });
    signIn({ code }).then(
      () => go("/", { replace: true }),
      (error) => setFault(error.message),
    );
  }, []);
  if (!fault) return html`<div class="starting"><${Spinner} label="Signing in" /></div>`;
  return html`<div class="page stack"><h1>This link does not sign in</h1>
    <${Notice} tone="bad">${fault}</${Notice}>
    <div class="row"><${Button} href="/" kind="main">Sign in with a key</${Button}></div></div>`;
}

/** Finishes what the provider has begun; its sentence is on the page for signing in. @param {URLSearchParams} query */
async function returned(query) {
  let to = "/";
  try {
    const code = query.get("code");
    if (code) to = await comeBack({ state: query.get("state") ?? "", code });
    else signOnFault.value = whyNot(query.get("error") ?? "");
  } catch (error) {
    signOnFault.value = /** @type {Error} */ (error).message;
  }
  go(to, { replace: true });
}

/** @param {string} error */
function whyNot(error) {
  if (error === CANCELLED) return "You were not signed in: it was cancelled there, or you may not use Filmgate there.";
  return `You were not signed in there${WORD.test(error) ? ` (${error})` : ""}. Try again, or tell whoever runs this gateway.`;
}
