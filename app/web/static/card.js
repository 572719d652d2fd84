// One clip in the list, updated in place so that a playing video and the focus stay.

import { byId, make, say, show, webAddress } from "./dom.js";
import { ENDS, STATES, ago, cancelWarning, cost, explain, modelTitle } from "./words.js";

const NAME_LENGTH = 60;

/** A card. `actions` has `cancel(job)` → job and `reuse(job)`; `models` are those of GET /v1/models. */
export class Card {
  constructor(job, { models, actions }) {
    this.job = job;
    this.cursor = { id: null }; // of its live events
    this._models = models;
    this._actions = actions;
    this._build();
    this._draw();
  }

  get live() {
    return !ENDS.has(this.job.status);
  }

  /** Shows a newer state. A terminal state is final: an older response does not change it. */
  update(job) {
    if (!this.live && !ENDS.has(job.status)) return;
    const before = this.job.status;
    const waiting = job.status === "queued" && before === "queued";
    this.job = { ...this.job, ...job };
    // A list has no position in line.
    if (waiting) this.job.queue_position = job.queue_position ?? this._position;
    this._draw();
    if (before !== job.status) say(`${this._name()}: ${STATES[job.status] ?? job.status}. ${explain(this.job)}`);
  }

  /** Updates the times. */
  tick() {
    show(this._when, ago(this.job.created_at));
  }

  _build() {
    const { job } = this;
    const titleId = `title-${job.id}`;
    this._state = make("span", { class: "state" });
    this._when = make("time", { dateTime: job.created_at, title: new Date(job.created_at).toLocaleString() });
    this._title = make("h3", { id: titleId, class: "prompt", tabIndex: -1 });
    this._about = make("p", { class: "about" });
    this._note = make("p", { class: "explain" });
    this._fault = make("p", { class: "fault" });
    this._film = make("div", { class: "film" });
    this._cancel = make("button", { type: "button", class: "quiet", onclick: () => this._askToCancel() }, "Cancel");
    this._reuse = make("button", { type: "button", class: "quiet", onclick: () => this._actions.reuse(this.job) }, "Use again");
    this._link = make("a", { class: "button quiet", target: "_blank", rel: "noopener noreferrer" }, "Open clip");
    for (const control of [this._cancel, this._reuse, this._link]) control.setAttribute("aria-describedby", titleId);
    const article = make(
      "article",
      { class: "card" },
      make("div", { class: "card-head" }, this._state, this._when),
      this._title,
      this._about,
      this._note,
      this._film,
      this._fault,
      make("div", { class: "actions" }, this._link, this._cancel, this._reuse, make("code", { class: "id" }, job.id)),
    );
    article.setAttribute("aria-labelledby", titleId);
    this.element = make("li", {}, article);
  }

  _draw() {
    const { job } = this;
    const { output } = job;
    this._position = job.queue_position;
    this.element.dataset.status = job.status;
    show(this._state, STATES[job.status] ?? job.status);
    show(this._title, job.input === null ? "Erased" : job.input?.prompt || "Without a prompt");
    const length = job.input?.duration ? `${job.input.duration} s` : "";
    const voice = output?.voice_id ? `voice ${output.voice_id}` : "";
    show(this._about, [modelTitle(this._models, job.model), length, voice, cost(job)].filter(Boolean).join(" · "));
    show(this._note, explain(job));
    this._cancel.hidden = !this.live || Boolean(job.cancel_requested_at);
    this._reuse.hidden = !job.input;
    this._drawFilm(webAddress((output?.video ?? output?.audio)?.url)); // a video element plays sounds too
    this.tick();
  }

  _drawFilm(address) {
    this._link.hidden = !address;
    if (!address || this._film.firstChild) return;
    this._link.href = address;
    const video = make("video", { src: address, controls: true, preload: "metadata", playsInline: true, loop: true });
    video.setAttribute("aria-label", `Clip: ${this._name()}`);
    video.addEventListener("error", () => {
      const gone = this.job.expires_at && Date.parse(this.job.expires_at) < Date.now();
      show(this._note, gone ? "The clip's address has expired." : "The clip cannot be played from its address.");
      video.hidden = true;
    });
    this._film.append(video);
  }

  _name() {
    const prompt = this.job.input?.prompt || "Clip";
    return prompt.length > NAME_LENGTH ? `${prompt.slice(0, NAME_LENGTH)}…` : prompt;
  }

  async _askToCancel() {
    show(byId("ask-text"), cancelWarning(this.job.status));
    const dialog = byId("ask");
    dialog.returnValue = "";
    dialog.showModal();
    await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
    if (dialog.returnValue !== "yes") return;
    this._cancel.disabled = true;
    show(this._fault, "");
    try {
      this.update(await this._actions.cancel(this.job));
      this._title.focus(); // the button that had the focus is gone
    } catch (error) {
      show(this._fault, error.message);
    } finally {
      this._cancel.disabled = false;
    }
  }
}
