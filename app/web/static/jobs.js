// The list of clips: pages, a filter, and live states.

import { Card } from "./card.js";
import { byId, show, sleep } from "./dom.js";
import { follow } from "./events.js";
import { persist } from "./retry.js";

const PAGE = 20;
const STREAMS = 2; // a browser opens six connections to a host; two windows must leave some for everything else
const LOOK_MS = 5000; // while something is under way; then three times as long
const TICK_MS = 30_000;

/** The list. `onChange` is called when sums may have changed; `onReuse` to fill the form with a job's input. */
export class JobList {
  constructor({ api, models, signal, onChange, onReuse }) {
    Object.assign(this, { _api: api, _models: models, _signal: signal, _onChange: onChange, _onReuse: onReuse });
    this._cards = new Map(); // by id
    this._followed = new Map(); // id → AbortController
    this._cursor = null;
    this._turn = 0;
    this._generation = 0; // another filter makes answers to older questions worthless
    const options = { signal };
    byId("filter").addEventListener("change", () => this.restart(), options);
    byId("more").addEventListener("click", () => this._more(), options);
    document.addEventListener("visibilitychange", () => this._seenOrNot(), options);
    signal.addEventListener("abort", () => this._clear());
  }

  /** Loads the list, then updates it until the signal fires. */
  async run() {
    const ticking = setInterval(() => this._cards.forEach((card) => card.tick()), TICK_MS);
    this._signal.addEventListener("abort", () => clearInterval(ticking));
    await this.restart();
    while (!this._signal.aborted) {
      const busy = [...this._cards.values()].some((card) => card.live);
      await sleep(busy ? LOOK_MS : 3 * LOOK_MS, this._signal);
      if (!document.hidden && !this._signal.aborted) await this._look();
    }
  }

  /** Loads the first page: at the start, and when the filter changes. */
  async restart() {
    const generation = (this._generation += 1);
    byId("more").hidden = true;
    byId("jobs").setAttribute("aria-busy", "true");
    const page = await this._page(null, generation);
    if (!page) return;
    this._clear();
    byId("jobs").removeAttribute("aria-busy");
    this._append(page);
  }

  /** Adds a new job on top. */
  add(job) {
    if (byId("filter").value) {
      byId("filter").value = "";
      this.restart();
    } else this._take(job);
  }

  _page(cursor, generation) {
    const query = new URLSearchParams({ limit: PAGE });
    if (byId("filter").value) query.set("status", byId("filter").value);
    if (cursor) query.set("cursor", cursor);
    const read = () => this._api.get(`jobs?${query}`, { signal: this._signal });
    return this._ask(read).then((page) => (generation === this._generation ? page : null));
  }

  /** A response, after retries of temporary failures; null without one. */
  async _ask(read) {
    try {
      return await persist(read, this._signal);
    } catch (error) {
      if (error.status === 404) return null;
      if (error.status !== 401) this._tellEmpty(error.message);
      return null;
    }
  }

  async _more() {
    const button = byId("more");
    button.disabled = true;
    const page = await this._page(this._cursor, this._generation);
    button.disabled = false;
    if (!page) return;
    const had = this._cards.size;
    this._append(page);
    [...byId("jobs").children][had]?.querySelector("h3").focus();
  }

  _append(page) {
    for (const job of page.data) this._take(job);
    this._cursor = page.next_cursor;
    byId("more").hidden = !page.has_more;
    this._tellEmpty();
  }

  /** Reads the first page again, and clips that need more, one at a time. */
  async _look() {
    const generation = this._generation;
    const page = await this._page(null, generation);
    if (page?.has_more && !page.data.some(({ id }) => this._cards.has(id))) {
      this._clear(); // more new ones than a page holds: what lies between is not known
      this._append(page);
    }
    for (const job of page?.data ?? []) this._take(job);
    const unsure = [...this._cards.values()].filter(
      (card) => card.live && (card.job.status === "queued" || !this._followed.has(card.job.id)),
    );
    if (!unsure.length) return;
    const card = unsure[(this._turn += 1) % unsure.length];
    const job = await this._ask(() => this._api.get(`jobs/${card.job.id}`, { signal: this._signal }));
    if (job) this._changed(card, job);
  }

  _take(job) {
    const known = this._cards.get(job.id);
    if (known) return this._changed(known, job);
    const card = new Card(job, {
      models: this._models,
      actions: {
        cancel: ({ id }) => this._api.post(`jobs/${id}/cancel`, undefined, { signal: this._signal }),
        reuse: this._onReuse,
      },
    });
    this._cards.set(job.id, card);
    this._place(card);
    this._tellEmpty();
    this._followSome();
  }

  /** Newest first. */
  _place(card) {
    const older = this._newestFirst().find((other) => other.job.created_at < card.job.created_at);
    byId("jobs").insertBefore(card.element, older?.element ?? null);
  }

  _newestFirst() {
    return [...this._cards.values()].sort((one, other) => (order(one.job, other.job)));
  }

  _changed(card, job) {
    const wasLive = card.live;
    card.update(job);
    if (wasLive && !card.live) this._onChange();
    if (card.job.status === "held") this._followed.get(card.job.id)?.abort(); // it may stay so for days
    this._followSome();
  }

  /** Streams the newest running clips; polls the others in turn. */
  _followSome() {
    if (document.hidden || this._signal.aborted) return;
    for (const card of this._newestFirst()) {
      if (this._followed.size >= STREAMS) return;
      if (card.live && card.job.status !== "held" && !this._followed.has(card.job.id)) this._follow(card);
    }
  }

  async _follow(card) {
    const { id } = card.job;
    const stop = new AbortController();
    this._followed.set(id, stop);
    const onJob = (job) => this._changed(card, job);
    await follow(this._api, id, { cursor: card.cursor, signal: stop.signal, onJob });
    if (this._followed.get(id) === stop) this._followed.delete(id);
    if (!card.live || stop.signal.aborted) this._followSome();
  }

  /** A hidden page holds no connection, and resumes when it is visible. */
  _seenOrNot() {
    if (document.hidden) this._unfollow();
    else this._followSome();
  }

  _unfollow() {
    for (const stop of this._followed.values()) stop.abort();
    this._followed.clear();
  }

  _clear() {
    this._unfollow();
    this._cards.clear();
    byId("jobs").replaceChildren();
    show(byId("empty"), "");
  }

  _tellEmpty(fault = "") {
    const nothing = byId("filter").value ? "No clip is in this state." : "No clips yet. The first one is made with the form.";
    show(byId("empty"), fault || (this._cards.size ? "" : nothing));
  }
}

/** Newest first; within a millisecond, in order of arrival. */
function order(one, other) {
  if (one.created_at === other.created_at) return 0;
  return one.created_at < other.created_at ? 1 : -1;
}
