import { html } from "../core/html.js";
import { go, place } from "../core/router.js";
import { isAdministrator, me, session, signOut } from "../core/session.js";
import { useShortcuts } from "../core/shortcuts.js";
import { mayOpen, viewOf, views } from "../core/views.js";
import { amountWords, limitWords, ownerWords, share, windowWords } from "../core/words.js";
import { Bar } from "../ui/Bar.js";
import { Bell } from "../ui/Bell.js";
import { Button } from "../ui/Button.js";
import { Icon } from "../ui/Icon.js";
import { toast } from "../ui/Toast.js";

/** The views, whose page it is, and the limit that ends first. A bar at the bottom on a phone. */
export function Rail() {
  const current = viewOf(place.value.path)?.view;
  const entries = views.filter((view) => view.rail && mayOpen(view, session.value.role));
  useShortcuts(entries.map(({ rail }) => ({ keys: `g ${rail?.key}`, label: `Go to ${rail?.label}`, run: () => go(rail?.path ?? "/") })));
  return html`<header class="rail">
    <a class="brand" href="/"><img src="/static/icon.svg" alt="" width="26" height="26" /><span>Filmgate</span></a>
    <nav aria-label="Views"><ul>
      ${entries.map(
        (view) => html`<li key=${view.name}><a href=${view.rail?.path} aria-current=${view === current ? "page" : undefined}>
          <${Icon} name=${view.rail?.icon ?? ""} />${view.rail?.label}</a></li>`,
      )}
    </ul></nav>
    <div class="rail-foot"><${Limit} /><${Account} /></div>
  </header>`;
}

/** The limit that refuses first, with whose it is. It leads to all of them. */
function Limit() {
  const limit = me.value?.tightest;
  if (!limit) return null;
  const held = Number(limit.amount) > 0 ? Number(limit.held) / Number(limit.amount) : 0;
  const whose = ownerWords(limit.owner);
  return html`<a class="limit numbers" href="/money">
    <b>${amountWords(limit.unit, limit.left)} left ${windowWords(limit.window)}</b>
    <${Bar} used=${Math.max(0, share(limit) - held)} held=${held} label="${Math.round(share(limit) * 100)} % of ${whose} limit is used" />
    <span>of ${whose} ${limitWords(limit)}</span>
  </a>`;
}

const leave = () => signOut().catch((/** @type {Error} */ error) => toast(`You are still signed in. ${error.message}`, { tone: "bad" }));

function Account() {
  const { user, team } = me.value ?? {};
  return html`<div class="account">
    <div><b>${isAdministrator() ? "Administrator" : user?.name}</b><span>${team?.name ?? "whole gateway"}</span></div>
    ${!isAdministrator() && html`<${Bell} />`}
    <${Button} kind="quiet" icon="out" label="Sign out" onPress=${leave} />
  </div>`;
}
