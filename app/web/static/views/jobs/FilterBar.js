import { html, useEffect, useState } from "../../core/html.js";
import { models } from "../../core/models.js";
import { readPages } from "../../core/pages.js";
import { place, setQuery } from "../../core/router.js";
import { isAdministrator, may } from "../../core/session.js";
import { Button } from "../../ui/Button.js";
import { Field } from "../../ui/Field.js";
import { Search } from "../../ui/Search.js";
import { Segments } from "../../ui/Segments.js";
import { Select } from "../../ui/Select.js";
import { PERIODS, STATUSES, countOf, metadataName } from "./filters.js";

const CUSTOM = "days";

/** Takes every filter out of the address; how the list looks stays. */
export function clearFilters() {
  setQuery(Object.fromEntries([...place.value.query.keys()].filter((name) => name !== "look").map((name) => [name, null])));
}

/** The search, the states, and the folded rest; all of it is in the address. @param {{filters: import("./filters.js").Filters}} props */
export function FilterBar({ filters }) {
  const count = countOf(filters);
  const [open, setOpen] = useState(count > 0);
  return html`<div class="filters">
    <div class="filter-main">
      ${!isAdministrator() && html`<${Search} id="search-jobs" label="Words of the prompt" text=${filters.text} shortcut="Search the prompts" onSearch=${(/** @type {string} */ text) => setQuery({ text })} />`}
      <${Segments} label="State" hideLabel options=${STATUSES} value=${filters.status} onChange=${(/** @type {string} */ status) => setQuery({ status })} />
      <${Button} icon="chevron" aria-expanded=${open} aria-controls="more-filters" onPress=${() => setOpen(!open)}>${count ? `Filters (${count})` : "Filters"}</${Button}>
    </div>
    ${open && html`<div class="filter-more panel" id="more-filters">
      <${Model} value=${filters.model} />
      <${People} filters=${filters} />
      <${Period} filters=${filters} />
      <${Metadata} pair=${filters.metadata} />
      ${count > 0 && html`<${Button} kind="quiet" icon="close" onPress=${clearFilters}>Clear the filters</${Button}>`}
    </div>`}
  </div>`;
}

/** @param {{value: string}} props */
function Model({ value }) {
  const known = models.value ?? [];
  const options = [{ value: "", label: "Every model" }, ...known.map((/** @type {any} */ { id, title }) => ({ value: id, label: title }))];
  if (value && !known.some((/** @type {any} */ { id }) => id === value)) options.push({ value, label: value });
  return html`<${Select} label="Model" options=${options} value=${value} onChange=${(/** @type {string} */ model) => setQuery({ model })} />`;
}

/** Whose jobs: for whoever may see others'. @param {{filters: import("./filters.js").Filters}} props */
function People({ filters: { user, team } }) {
  const seesTeam = may("team:read") && !isAdministrator();
  const users = useChoices(seesTeam ? "team/users?limit=100" : "", "Everybody of the team");
  const teams = useChoices(isAdministrator() ? "admin/teams?" : "", "Every team");
  const members = useChoices(isAdministrator() && team ? `admin/teams/${encodeURIComponent(team)}/users?limit=100` : "", "Every user");
  if (!seesTeam && !isAdministrator()) return null;
  return html`${isAdministrator() && html`<${Chosen} label="Team" all=${teams} value=${team} onChange=${(/** @type {string} */ id) => setQuery({ team: id, user: null })} />`}
    ${(seesTeam || team || user) && html`<${Chosen} label="User" all=${seesTeam ? users : members} value=${user} onChange=${(/** @type {string} */ id) => setQuery({ user: id })} />`}`;
}

/** @param {{label: string, all: {value: string, label: string}[], value: string, onChange: (id: string) => void}} props */
function Chosen({ label, all, value, onChange }) {
  const options = !value || all.some((one) => one.value === value) ? all : [...all, { value, label: value }];
  return html`<${Select} label=${label} options=${options} value=${value} onChange=${onChange} />`;
}

/** Names of the whole of a list of the API as choices; the first is all of them. @param {string} path @param {string} first */
function useChoices(path, first) {
  const [found, setFound] = useState(/** @type {{value: string, label: string}[]} */ ([]));
  useEffect(() => {
    if (!path) return undefined;
    const shown = new AbortController();
    const take = (/** @type {{found: any[]}} */ { found: all }) => setFound(all.map(({ id, name }) => ({ value: id, label: name })));
    readPages(path, shown.signal).then(take, () => {}); // without names one can still choose from the list
    return () => shown.abort();
  }, [path]);
  return [{ value: "", label: first }, ...found];
}

/** @param {{filters: import("./filters.js").Filters}} props */
function Period({ filters: { period, from, to } }) {
  const custom = Boolean(from || to);
  const [days, setDays] = useState(custom);
  const choose = (/** @type {string} */ value) => {
    setDays(value === CUSTOM);
    setQuery({ period: value === CUSTOM ? null : value, from: null, to: null });
  };
  return html`<${Select} label="Submitted" options=${[...PERIODS, { value: CUSTOM, label: "Between two days" }]} value=${days || custom ? CUSTOM : period} onChange=${choose} />
    ${(days || custom) && html`<${Day} label="From" value=${from} onChange=${(/** @type {string} */ date) => setQuery({ from: date })} />
      <${Day} label="Until" value=${to} onChange=${(/** @type {string} */ date) => setQuery({ to: date })} />`}`;
}

/** @param {{label: string, value: string, onChange: (date: string) => void}} props */
const Day = ({ label, value, onChange }) => html`<${Field} label=${label}>
  ${(/** @type {any} */ ids) => html`<input ...${ids} type="date" value=${value} onChange=${(/** @type {any} */ event) => onChange(event.target.value)} />`}
</${Field}>`;

/** @param {{pair: [string, string] | null}} props */
function Metadata({ pair }) {
  const [typed, setTyped] = useState(pair ? pair.join("=") : "");
  const shown = pair ? pair.join("=") : "";
  useEffect(() => setTyped(shown), [shown]);
  const set = () => {
    const [, name, value] = (/^([^=]+)=(.+)$/.exec(typed) ?? []).map((part) => part.trim());
    if (typed.trim() && !(name && value)) return;
    setQuery({ ...(pair ? { [metadataName(pair[0])]: null } : {}), ...(name ? { [metadataName(name)]: value } : {}) });
  };
  const wrong = typed.trim() && !/^[^=]+=.+/.test(typed.trim()) && typed !== shown;
  return html`<${Typed} label="Metadata" value=${typed} placeholder="name=value" onInput=${setTyped} onChange=${set} fault=${wrong ? "Write a name, =, and its value." : ""} />`;
}

/** @param {{label: string, value: string, placeholder: string, fault?: string, onInput?: (text: string) => void, onChange: (text: string) => void}} props */
const Typed = ({ label, value, placeholder, fault, onInput, onChange }) => html`<${Field} label=${label} fault=${fault}>
  ${(/** @type {any} */ ids) => html`<input ...${ids} type="text" autocomplete="off" spellcheck=${false} maxlength="300" value=${value} placeholder=${placeholder}
    onInput=${(/** @type {any} */ event) => onInput?.(event.target.value)} onChange=${(/** @type {any} */ event) => onChange(event.target.value.trim())} />`}
</${Field}>`;
