import { get } from "../../core/api.js";
import { html, useEffect, useRef, useState } from "../../core/html.js";
import { persist } from "../../core/retry.js";
import { amountWords, limitWords, windowWords } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Notice } from "../../ui/Notice.js";
import { FEW_PEOPLE, PeopleSearch } from "../../ui/Search.js";
import { Spinner } from "../../ui/Spinner.js";
import { LimitBar } from "./Budgets.js";
import { byTightness } from "./report.js";

const PAGE = 20;

/** @typedef {import("../../core/shapes.js").UserLimits} UserLimits */
/** `text` is what these people were looked for by. @type {{people: UserLimits[], text: string, cursor: string | null, whole: boolean, busy: boolean, fault: string}} */
const NOTHING = { people: [], text: "", cursor: null, whole: false, busy: true, fault: "" };

/**
 * The team's users with their own limits, a page at a time. `path`: where they are read; `text`: whom one looks for, of the address.
 * @param {{path?: string, text: string}} props
 */
export function People({ path: root = "team/users", text }) {
  const [found, setFound] = useState(NOTHING);
  const shown = useRef(/** @type {AbortController | null} */ (null));
  const searchable = useRef(false); // it stays while few are found
  searchable.current ||= Boolean(text) || found.people.length > FEW_PEOPLE;
  /** Reads who follows on `now`. @param {typeof NOTHING} now */
  const read = async (now) => {
    const { signal } = shown.current ?? new AbortController();
    setFound({ ...found, busy: true, fault: "" }); // who was found before stays in sight
    const path = `${root}?limit=${PAGE}${text && `&text=${encodeURIComponent(text)}`}${now.cursor ? `&cursor=${encodeURIComponent(now.cursor)}` : ""}`;
    try {
      const page = await persist(() => get(path, { signal }), signal);
      if (page) setFound({ people: [...now.people, ...page.data], text, cursor: page.next_cursor, whole: !page.has_more, busy: false, fault: "" });
    } catch (error) {
      if (!signal.aborted) setFound({ ...found, busy: false, fault: error instanceof Error ? error.message : `${error}` });
    }
  };
  useEffect(() => {
    const mine = new AbortController();
    shown.current = mine;
    read(NOTHING);
    return () => mine.abort();
  }, [root, text]);
  const more = () => read(found.text === text ? found : NOTHING);
  const { people, whole, busy, fault } = found;
  return html`<section aria-label="The team's users" class="stack">
    <div class="row people-head"><h2>The team's users</h2>
      ${searchable.current && html`<${PeopleSearch} text=${text} shortcut="Search the team's users" />`}</div>
    ${people.length > 0 && html`<ul class="panel people numbers">${people.map((user) => html`<${Person} key=${user.id} user=${user} />`)}</ul>`}
    ${fault && html`<${Notice} tone="bad" actions=${html`<${Button} onPress=${more}>Try again</${Button}>`}>${fault}</${Notice}>`}
    ${whole && !people.length && html`<p class="note" role="status">${text ? "Nobody of the team has such a name or id." : "Nobody is in the team."}</p>`}
    ${busy && !people.length && html`<div class="money-wait"><${Spinner} label="Reading the users" /></div>`}
    ${!whole && !fault && people.length > 0 && html`<div class="row"><${Button} busy=${busy} onPress=${more}>Show more users</${Button}></div>`}
  </section>`;
}

/** @param {{user: UserLimits}} props */
const Person = ({ user: { name, limits } }) => html`<li>
  <h3>${name}</h3>
  ${limits.length === 0
    ? html`<p class="note">No limits of their own; the team's apply.</p>`
    : html`<ul>${byTightness(limits).map(
        (limit) => html`<li key=${`${limit.unit} ${limit.window}`}>
          <p><b>${amountWords(limit.unit, limit.left)}</b> left ${windowWords(limit.window)}<span class="note"> of ${limitWords(limit)}</span></p>
          <${LimitBar} limit=${limit} whose="${name}'s" /></li>`,
      )}</ul>`}
</li>`;
