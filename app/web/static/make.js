// The form for a clip: shows the price first, and never buys twice by accident.

import { newIdempotencyKey } from "./api.js";
import { byId, make, show, sleep } from "./dom.js";
import { fillDurations, fillSettings, pictureField, readDuration, readSettings } from "./fields.js";
import { Picture } from "./picture.js";
import { dollars, optionWords, plural, priceWords, roughly } from "./words.js";

const KINDS = {
  "image-to-video": "From a picture",
  "text-to-video": "From words alone",
  "reference-to-video": "From pictures of people and things",
  "video-to-video": "From a video",
  "audio-to-video": "From a picture and a sound",
  "video-to-audio": "Sound for a video",
  "text-to-audio": "Speech",
  "audio-to-voice": "A voice",
};
const PAUSE_MS = 350; // between the last keystroke and the quote
const PLACES = { "/prompt": "prompt", "/image_url": "image-url", "/start_image_url": "image-url", "/duration": "duration" };

export class MakeForm {
  constructor({ api, models, signal, onMade }) {
    Object.assign(this, { _api: api, _models: models, _signal: signal, _onMade: onMade });
    this._quote = null; // {body, usd}: the price of exactly this body
    this._asking = null;
    this._attempts = new Map(); // body → {key, max_usd}: one key for each body, until a response arrives
    this._picture = new Picture({ api, signal, onChange: () => this._changed() });
    const options = { signal };
    const form = byId("make");
    form.addEventListener("input", () => this._changed(), options);
    form.addEventListener("submit", (event) => this._submit(event), options);
    byId("model").addEventListener("change", () => this._modelChosen(), options);
    this._fillModels();
  }

  /** Fills the form with a job's input. */
  reuse({ model, input }) {
    if (this._models.some(({ id, priced }) => id === model && priced)) byId("model").value = model;
    this._modelChosen(input);
    byId("prompt").value = input.prompt ?? "";
    const given = input[pictureField(this._model)?.name];
    const image = Array.isArray(given) ? given[0] : given;
    if (image) this._picture.useAddress(image.url ?? image);
    this._changed();
    byId("prompt").focus();
  }

  get _model() {
    return this._models.find((model) => model.id === byId("model").value);
  }

  get _takesPrompt() {
    return Boolean(this._model.input.properties.prompt);
  }

  /** A storyboard may stand for a prompt; this form has none. */
  get _needsPrompt() {
    const { required, oneOf = [] } = this._model.input;
    return [required, ...oneOf.map((option) => option.required)].some((names) => names.includes("prompt"));
  }

  _fillModels() {
    const groups = Object.entries(KINDS).map(([kind, label]) => {
      const models = this._models.filter((model) => model.kind === kind);
      const options = models.map((model) => make("option", { value: model.id, disabled: !model.priced }, optionWords(model)));
      return make("optgroup", { label }, ...options);
    });
    byId("model").replaceChildren(...groups);
    byId("model").value = this._models.find((model) => model.default)?.id;
    this._modelChosen();
  }

  _modelChosen(given = {}) {
    const model = this._model;
    show(byId("model-note"), priceWords(model));
    fillDurations(model, given.duration ?? byId("duration").value);
    fillSettings(model, given);
    byId("picture").hidden = !pictureField(model);
    byId("prompt-field").hidden = !model.input.properties.prompt;
    byId("prompt").maxLength = model.input.properties.prompt?.maxLength ?? -1;
    this._changed();
  }

  /** The body of POST /v1/jobs and /v1/quotes as JSON, or null while a field is missing. */
  _body() {
    const prompt = this._takesPrompt ? byId("prompt").value.trim() : "";
    const picture = pictureField(this._model);
    if ((this._needsPrompt && !prompt) || (picture && (!this._picture.url || this._picture.uploading))) return null;
    const input = { ...(prompt && { prompt }), ...readSettings(this._model) };
    if (picture) input[picture.name] = picture.list ? [this._picture.url] : this._picture.url;
    const duration = readDuration(this._model);
    if (duration !== undefined) input.duration = duration;
    return JSON.stringify({ model: this._model.id, input });
  }

  async _changed() {
    this._blame([]);
    show(byId("make-fault"), "");
    this._asking?.abort();
    const body = this._body();
    if (body && body === this._quote?.body) return;
    this._setQuote(null);
    if (!body) return;
    const asking = (this._asking = new AbortController());
    await sleep(PAUSE_MS, asking.signal);
    if (!asking.signal.aborted && !this._signal.aborted) await this._askPrice(body, asking.signal);
  }

  async _askPrice(body, signal) {
    try {
      const quote = await this._api.post("quotes", JSON.parse(body), { signal });
      if (body === this._body()) this._setQuote({ body, usd: quote.quoted_usd, note: quote.note, queue: quote.queue });
    } catch (error) {
      if (!signal?.aborted && error.status !== 401) this._refuse(error, "The price is not known: ");
    }
  }

  _setQuote(quote) {
    this._quote = quote;
    const { position, estimated_wait_s: wait } = quote?.queue ?? {};
    const line = position ? `${plural(position, "clip")} before it, ${roughly(wait)} to wait.` : "It can start at once.";
    const most = quote?.note ? "at most " : "";
    show(byId("price"), quote ? `This clip costs ${most}${dollars(quote.usd)}. ${[quote.note, line].filter(Boolean).join(" ")}` : "");
    show(byId("submit"), quote ? `Make this clip for ${most}${dollars(quote.usd)}` : "Make this clip");
  }

  async _submit(event) {
    event.preventDefault();
    const body = this._body();
    if (this._busy) return;
    if (!body) return this._tellMissing();
    this._busy = true;
    byId("submit").setAttribute("aria-disabled", "true");
    try {
      if (this._quote?.body === body) await this._order(body);
      else await this._askPrice(body); // shows the price first: the next press buys
    } finally {
      this._busy = false;
      byId("submit").removeAttribute("aria-disabled");
    }
  }

  /** Submits at the price shown at most. A second press after a lost response repeats the idempotency key. */
  async _order(body) {
    if (!this._attempts.has(body)) this._attempts.set(body, { key: newIdempotencyKey(), max_usd: this._quote.usd });
    const { key, max_usd } = this._attempts.get(body);
    show(byId("make-fault"), "");
    try {
      const job = await this._api.post("jobs", { ...JSON.parse(body), max_usd }, {
        headers: { "Idempotency-Key": key },
        signal: this._signal,
      });
      this._attempts.delete(body);
      byId("prompt").value = ""; // an empty prompt orders nothing by accident; the rest stays for the next clip
      this._changed();
      this._onMade(job);
    } catch (error) {
      if (this._signal.aborted || error.status === 401) return;
      // A definite refusal: the next press is a new submission. Otherwise the outcome is unknown.
      if (!error.temporary) this._attempts.delete(body);
      const again = error.retryAfter ? `Press again in ${error.retryAfter} s` : "Press again";
      this._refuse(error, "", error.temporary ? ` ${again}: the same order is never made twice.` : "");
    }
  }

  _refuse(error, before, after = "") {
    const faults = error.faults.map((fault) => ({ ...fault, pointer: fault.pointer.replace(/^\/input/, "") }));
    const parts = faults.map(({ pointer, message }) => `${pointer.slice(1).replaceAll("_", " ")}: ${message}`);
    show(byId("make-fault"), before + (parts.length ? parts.join(" ") : error.message) + after);
    this._blame(faults.map(({ pointer }) => PLACES[pointer] ?? `setting-${pointer.slice(1)}`));
  }

  _blame(ids) {
    for (const control of byId("make").elements) {
      if (ids.includes(control.id)) control.setAttribute("aria-invalid", "true");
      else control.removeAttribute("aria-invalid");
    }
  }

  _tellMissing() {
    if (this._picture.uploading) return show(byId("make-fault"), "The picture is still being uploaded.");
    const noPicture = pictureField(this._model) && !this._picture.url;
    const [id, sentence] = noPicture
      ? ["file", "Choose a picture, or give its address."]
      : ["prompt", "Say in a few words what happens in the clip."];
    show(byId("make-fault"), sentence);
    this._blame([id]);
    byId(id).focus();
  }
}
