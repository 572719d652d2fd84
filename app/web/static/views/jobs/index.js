// Every clip: a gallery or a table, and a page for each.

import { get } from "../../core/api.js";
import { html, useEffect, useLayoutEffect, useMemo } from "../../core/html.js";
import { models } from "../../core/models.js";
import { persist } from "../../core/retry.js";
import { place, setQuery } from "../../core/router.js";
import { isAdministrator } from "../../core/session.js";
import { useShortcuts, walk } from "../../core/shortcuts.js";
import { useTitle } from "../../core/title.js";
import { plural } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Empty } from "../../ui/Empty.js";
import { Notice } from "../../ui/Notice.js";
import { Segments } from "../../ui/Segments.js";
import { Spinner } from "../../ui/Spinner.js";
import { setModels } from "../playground/state.js";
import { Gallery, Table } from "./Cards.js";
import { FilterBar, clearFilters } from "./FilterBar.js";
import { STATUSES, filtersOf, isFiltered } from "./filters.js";
import { keepList, list, more, showWaiting } from "./list.js";
import { JobPage } from "./JobPage.js";

const LOOK = "filmgate.jobs-look";
const LOOKS = [{ value: "gallery", label: "Gallery" }, { value: "table", label: "Table" }];

const LINKS = ".card h2 a, .line-name a";

let cameBack = false;
addEventListener("popstate", () => (cameBack = location.pathname === "/jobs"));
/** Where one was in the list. @type {{key: string, at: number}} */
let left = { key: "", at: 0 };

/** @param {{params: Record<string, string>, query: URLSearchParams}} props */
export function Jobs({ params, query }) {
  useEffect(() => {
    const shown = new AbortController();
    if (!models.value) {
      persist(() => get("models", { signal: shown.signal }), shown.signal).then((found) => found && setModels(found.data), () => {});
    }
    return () => shown.abort();
  }, []);
  return params.id ? html`<${JobPage} key=${params.id} id=${params.id} />` : html`<${List} query=${query} />`;
}

/** @param {URLSearchParams} query */
function lookOf(query) {
  if (isAdministrator()) return "table";
  const chosen = query.get("look") ?? localStorage.getItem(LOOK) ?? "gallery";
  return LOOKS.some(({ value }) => value === chosen) ? chosen : "gallery";
}

/** @param {string} look */
function choose(look) {
  localStorage.setItem(LOOK, look);
  setQuery({ look });
}

/** @param {{query: URLSearchParams}} props */
function List({ query }) {
  const own = new URLSearchParams(query);
  own.delete("look");
  const key = own.toString();
  const filters = useMemo(() => filtersOf(own), [key]);
  const shown = useMemo(() => new AbortController(), [key]);
  useEffect(() => {
    keepList(key, filters, shown.signal);
    return () => shown.abort();
  }, [key]);
  usePlace(key);
  useShortcuts([
    { keys: "j", label: "The next job", run: () => walk(LINKS, 1) },
    { keys: "k", label: "The job before", run: () => walk(LINKS, -1) },
    { keys: "v", label: "Gallery or table", run: () => choose(lookOf(place.value.query) === "table" ? "gallery" : "table") },
  ].slice(0, isAdministrator() ? 2 : 3));
  const state = STATUSES.find(({ value }) => value === filters.status);
  useTitle(filters.status ? `${state?.label} · Jobs` : "Jobs");
  const look = lookOf(query);
  const { ids, waiting, whole } = list.value;
  const Look = look === "table" ? Table : Gallery;
  return html`<div class="page jobs">
    <div class="page-head"><h1>Jobs</h1><${Count} />
      ${!isAdministrator() && html`<div class="push"><${Segments} label="Look" hideLabel options=${LOOKS} value=${look} onChange=${choose} /></div>`}</div>
    <${FilterBar} filters=${filters} />
    ${waiting.length > 0 && html`<div class="news"><${Button} kind="main" onPress=${() => (showWaiting(), scrollTo({ top: 0 }))}>Show ${plural(waiting.length, "new job")}</${Button}></div>`}
    ${ids.length > 0 && html`<${Look} ids=${ids} more=${!whole} onNear=${() => more(shown.signal)} />`}
    <${Foot} filtered=${isFiltered(filters)} onMore=${() => more(shown.signal)} />
  </div>`;
}

/** Back finds the place where one was. @param {string} key */
function usePlace(key) {
  useLayoutEffect(() => {
    if (cameBack && left.key === key) scrollTo(0, left.at);
    cameBack = false;
    const note = () => (left = { key, at: scrollY });
    addEventListener("scroll", note, { passive: true });
    return () => removeEventListener("scroll", note);
  }, [key]);
}

function Count() {
  const { ids, whole } = list.value;
  if (!ids.length) return null;
  return html`<span class="note numbers" role="status">${whole ? plural(ids.length, "job") : `${ids.length} so far`}</span>`;
}

/** What is below the last job: that more are read, why they are not, or what to do when there are none. @param {{filtered: boolean, onMore: () => void}} props */
function Foot({ filtered, onMore }) {
  const { ids, whole, busy, fault, scanned } = list.value;
  useEffect(() => {
    if (!ids.length && !whole && !busy && !fault && list.value.key !== "-") onMore(); // a page may be empty before the last
  });
  if (fault) return html`<${Notice} tone="bad" actions=${html`<${Button} onPress=${onMore}>Try again</${Button}>`}>${fault}</${Notice}>`;
  if (whole && ids.length) return null;
  if (!whole) return html`<div class="list-foot"><${Spinner} label="Reading the jobs" />${scanned > ids.length && html`<span class="note numbers">${scanned} looked at</span>`}</div>`;
  if (filtered) {
    return html`<${Empty} icon="search" title="No job fits" text="Take a filter away, or look for other words.">
      <${Button} onPress=${clearFilters}>Show all jobs</${Button}></${Empty}>`;
  }
  const text = isAdministrator() ? "Nobody has made a clip yet." : "What you make appears here, with its price and its history.";
  return html`<${Empty} icon="film" title="No jobs yet" text=${text}>${!isAdministrator() && html`<${Button} kind="main" href="/">Make a clip</${Button}>`}</${Empty}>`;
}
