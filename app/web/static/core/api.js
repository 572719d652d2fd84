// Calls to /v1. Who calls is `core/session.js`'s affair; a refusal becomes an error with a sentence.

const ROOT = new URL("../../v1/", import.meta.url);
/** Why nothing can be asked for while the device has no network. */
export const OFFLINE = "This device is offline.";

const READ_MS = 30_000;
const WRITE_MS = 120_000;
const UPLOAD_MS = 15 * 60_000; // 300 MB over a slow line
const SKEW_MS = 3000; // a header has whole seconds, and an answer takes its time
const TEMPORARY = new Set([0, 408, 429, 502, 503, 504]); // 0: no answer at all

/** @typedef {{pointer: string, code: string, message: string}} Fault */
/**
 * `bearer`: a secret that is sent instead of the visitor's own session, which has no part in the call.
 * @typedef {{signal?: AbortSignal | null, headers?: Record<string, string>, bearer?: string}} Options
 */

/** A refusal, or no response (`status` 0). The message is a sentence for the visitor. */
export class Refused extends Error {
  /**
   * @param {string} message
   * @param {{status: number, code?: string, retryAfter?: number | null, faults?: Fault[]}} facts
   */
  constructor(message, { status, code = "", retryAfter = null, faults = [] }) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter; // seconds
    this.faults = faults;
  }

  /** True when the same request may succeed later. */
  get temporary() {
    return TEMPORARY.has(this.status);
  }
}

let skew = 0; // of this device's clock, in milliseconds

/** The server's time: a device's clock may be an hour off. @param {number} [now] */
export const serverNow = (now = Date.now()) => now + skew;

/** @type {{headers: (method: string) => Record<string, string>, cookies: RequestCredentials, refused: (error: Refused) => void, renewed: () => Promise<boolean>}} */
let credentials = { headers: () => ({}), cookies: "omit", refused: () => {}, renewed: async () => false };

/**
 * Says how calls are authenticated: headers for a method, whether cookies go along, what happens at a 401, and whether a
 * call whose token was wrong may be sent once more, because there is another one now.
 * @param {Partial<typeof credentials>} given
 */
export function authenticateWith(given) {
  credentials = { ...credentials, ...given };
}

/** @template {string} P @param {P} path @param {Options} [options] @returns {Promise<import("./shapes.js").Got<P>>} */
export const get = (path, options = {}) => call(path, "GET", undefined, options, READ_MS);
/** @template {string} P @param {P} path @param {unknown} [body] @param {Options} [options] @returns {Promise<import("./shapes.js").Posted<P>>} */
export const post = (path, body, options = {}) => call(path, "POST", body, options, WRITE_MS);
/** @param {string} path @param {unknown} [body] @param {Options} [options] @returns {Promise<any>} */
export const put = (path, body, options = {}) => call(path, "PUT", body, options, WRITE_MS);
/** @param {string} path @param {unknown} [body] @param {Options} [options] @returns {Promise<any>} */
export const patch = (path, body, options = {}) => call(path, "PATCH", body, options, WRITE_MS);
/** @param {string} path @param {Options} [options] @returns {Promise<any>} */
export const remove = (path, options = {}) => call(path, "DELETE", undefined, options, WRITE_MS);

/**
 * Sends a file; `{url, type, size, width, height, …}`.
 * @param {Blob} file @param {Options & {name?: string}} [options] @returns {Promise<any>}
 */
export function upload(file, { name, ...options } = {}) {
  const body = new FormData();
  if (name) body.append("file", file, name);
  else body.append("file", file);
  return call("files", "POST", body, options, UPLOAD_MS);
}

/** A response whose body is read as it comes. @param {string} path @param {Options} [options] */
export const stream = (path, options = {}) => send(path, { method: "GET", ...options });

/** @param {string} path @param {string} method @param {unknown} body @param {Options} options @param {number} patience */
async function call(path, method, body, options, patience) {
  const late = AbortSignal.timeout(patience);
  const signal = options.signal ? either(options.signal, late) : late;
  const form = body instanceof FormData;
  /** @type {Record<string, string>} */
  const typed = body === undefined || form ? {} : { "Content-Type": "application/json" };
  const response = await send(path, {
    method,
    signal,
    bearer: options.bearer,
    headers: { ...typed, ...options.headers },
    ...(body === undefined ? {} : { body: form ? body : JSON.stringify(body) }),
  });
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    throw lost(error, options.signal);
  }
}

/** @param {string} path @param {RequestInit & {headers?: Record<string, string>, bearer?: string}} options @param {boolean} [again] @returns {Promise<Response>} */
async function send(path, { headers = {}, bearer, ...options }, again = false) {
  const own = bearer ? { Authorization: `Bearer ${bearer}` } : credentials.headers(options.method ?? "GET");
  let response;
  try {
    response = await fetch(new URL(path, ROOT), {
      ...options,
      headers: { ...own, ...headers },
      cache: "no-store",
      credentials: bearer ? "omit" : credentials.cookies,
      redirect: "error",
    });
  } catch (error) {
    throw lost(error, options.signal);
  }
  const told = Date.parse(response.headers.get("Date") ?? "");
  if (told && Math.abs(told - Date.now() - skew) > SKEW_MS) skew = told - Date.now();
  if (response.ok) return response;
  const error = await refusal(response);
  if (bearer) throw error; // it says nothing about the visitor's own session
  if (response.status === 401) credentials.refused(error);
  if (error.code === "csrf" && !again && (await credentials.renewed())) return send(path, { headers, ...options }, true);
  throw error;
}

/** `AbortSignal.any`, which older browsers lack. @param {AbortSignal} first @param {AbortSignal} second */
function either(first, second) {
  const both = new AbortController();
  for (const signal of [first, second]) {
    if (signal.aborted) both.abort(signal.reason);
    signal.addEventListener("abort", () => both.abort(signal.reason), { once: true });
  }
  return both.signal;
}

/** The error of a failed fetch: an abort stays one. @param {any} error @param {AbortSignal | null} [signal] */
function lost(error, signal) {
  if (signal?.aborted && signal.reason?.name !== "TimeoutError") return error;
  const sentence = navigator.onLine ? "The gateway cannot be reached." : OFFLINE;
  return new Refused(sentence, { status: 0, code: "network_lost" });
}

/** The problem document (RFC 9457) of a response, or a sentence of ours where a proxy answered. @param {Response} response */
async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  const wait = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return new Refused(problem.detail || `The gateway answered ${response.status}.`, {
    status: response.status,
    code: problem.code ?? "",
    retryAfter: Number.isNaN(wait) ? null : wait,
    faults: Array.isArray(problem.errors) ? problem.errors : [],
  });
}
