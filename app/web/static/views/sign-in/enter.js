import { html, useEffect, useState } from "../../core/html.js";
import { go } from "../../core/router.js";
import { signIn } from "../../core/session.js";
import { useTitle } from "../../core/title.js";
import { Button } from "../../ui/Button.js";
import { Notice } from "../../ui/Notice.js";
import { Spinner } from "../../ui/Spinner.js";

/** `/enter#CODE`: a link that signs in once. Browsers send what is behind `#` to nobody. */
export function Enter() {
  const [fault, setFault] = useState("");
  useTitle("Signing in");
  useEffect(() => {
    const code = location.hash.slice(1);
    history.replaceState(null, "", "/enter"); // it works once, so nobody needs it in the history
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
