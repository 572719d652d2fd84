// Calls to /v1 with the visitor's key; problem documents (RFC 9457) become sentences.

const STORED = "filmgate.key";
const ROOT = new URL("../v1/", import.meta.url);
const READ_MS = 30_000;
const WRITE_MS = 120_000; // an upload of 30 MB over a slow line
const TEMPORARY = new Set([0, 408, 429, 502, 503, 504]); // 0: no answer at all

export const readKey = () => sessionStorage.getItem(STORED);
export const storeKey = (key) => sessionStorage.setItem(STORED, key);
export const forgetKey = () => sessionStorage.removeItem(STORED);

/** A refusal, or no response (`status` 0). The message is a sentence for the visitor. */
export class Refused extends Error {
  constructor(message, { status, code = "", retryAfter = null, faults = [] }) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter; // seconds
    this.faults = faults; // [{pointer, code, message}]
  }

  get temporary() {
    return TEMPORARY.has(this.status);
  }
}

/** A new Idempotency-Key. `crypto.randomUUID` is missing on plain http. */
export function newIdempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Calls with one key. `onKeyRefused` is called at every 401. */
export class Api {
  constructor(key, { onKeyRefused = () => {} } = {}) {
    this._key = key;
    this._onKeyRefused = onKeyRefused;
  }

  get(path, { signal } = {}) {
    return this._json(path, { signal }, READ_MS);
  }

  post(path, body, { signal, headers = {} } = {}) {
    const given = body === undefined ? {} : { body: JSON.stringify(body) };
    const type = body === undefined ? {} : { "Content-Type": "application/json" };
    return this._json(path, { method: "POST", signal, headers: { ...type, ...headers }, ...given }, WRITE_MS);
  }

  upload(file, { signal } = {}) {
    const body = new FormData();
    body.append("file", file);
    return this._json("files", { method: "POST", body, signal }, WRITE_MS);
  }

  /** A response with a streamed body. */
  stream(path, { after, signal }) {
    const headers = { Accept: "text/event-stream", ...(after ? { "Last-Event-ID": after } : {}) };
    return this._fetch(path, { headers, signal });
  }

  async _json(path, options, patience) {
    const late = AbortSignal.timeout(patience);
    const signal = options.signal ? either(options.signal, late) : late;
    const response = await this._fetch(path, { ...options, signal });
    try {
      return await response.json();
    } catch (error) {
      throw lost(error, options.signal);
    }
  }

  async _fetch(path, { headers = {}, ...options }) {
    let response;
    try {
      response = await fetch(new URL(path, ROOT), {
        ...options,
        headers: { Authorization: `Bearer ${this._key}`, ...headers },
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
      });
    } catch (error) {
      throw lost(error, options.signal);
    }
    if (response.ok) return response;
    if (response.status === 401) this._onKeyRefused();
    throw await refusal(response);
  }
}

/** `AbortSignal.any`, which older browsers lack. */
function either(first, second) {
  const both = new AbortController();
  for (const signal of [first, second]) {
    if (signal.aborted) both.abort(signal.reason);
    signal.addEventListener("abort", () => both.abort(signal.reason), { once: true });
  }
  return both.signal;
}

/** The error of a failed fetch: an abort stays one; otherwise the gateway cannot be reached. */
function lost(error, signal) {
  if (signal?.aborted && signal.reason?.name !== "TimeoutError") return error;
  const sentence = navigator.onLine ? "The gateway cannot be reached." : "This device is offline.";
  return new Refused(sentence, { status: 0, code: "network_lost" });
}

/** The problem document of a response, or a sentence of ours where a proxy answered. */
async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  const faults = Array.isArray(problem.errors) ? problem.errors : [];
  const wait = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return new Refused(problem.detail || `The gateway answered ${response.status}.`, {
    status: response.status,
    code: problem.code ?? "",
    retryAfter: Number.isNaN(wait) ? null : wait,
    faults,
  });
}
