// The API's reference: Swagger UI for /openapi.json, as whoever is signed in at the page. Calls go to this page's
// origin, which may differ from the public URL.

const here = new URL("..", import.meta.url);
const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);

/** The session of this browser, or null. */
async function signedIn() {
  const reply = await fetch(new URL("v1/session", here), { cache: "no-store" }).catch(() => null);
  return reply?.ok ? reply.json() : null;
}

/** Adds to calls of this gateway that change something what shows that they are from here; the cookie goes by itself. */
async function fromHere(request) {
  if (new URL(request.url, here).origin === here.origin && !SAFE.has(request.method?.toUpperCase() ?? "GET")) {
    const session = await signedIn(); // anew each time: another tab may have signed in
    if (session) request.headers["X-CSRF-Token"] = session.csrf;
  }
  return request;
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches); // Swagger UI's own class
dark.addEventListener("change", follow);
follow();

document.querySelector("#who").textContent = (await signedIn())
  ? "“Try it out” calls as you are signed in here."
  : "Sign in at the page first, and “Try it out” will call as you.";

const answer = await fetch(new URL("openapi.json", here));
const spec = { ...(await answer.json()), servers: [{ url: here.href.replace(/\/$/, "") }] };

globalThis.SwaggerUIBundle({
  domNode: document.querySelector("#reference"),
  spec,
  deepLinking: true,
  validatorUrl: null, // otherwise the document is sent to a validator on the internet
  requestInterceptor: fromHere,
});
