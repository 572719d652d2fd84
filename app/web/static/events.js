// Server-sent events over fetch, because EventSource cannot carry an Authorization header.

import { sleep } from "./dom.js";

const RETRY_MS = 3000; // until the server says otherwise
const LONGEST_MS = 30_000;
const SILENCE_MS = 30_000; // the server pings every 10 s
const FINAL = new Set([401, 403, 404]);

/**
 * Follows a job until its end; reconnects after the last event.
 *
 * `cursor.id` is that event's id, kept by the caller; `onJob` gets the job of each event.
 * Resolves at the job's end, when the signal fires, or when the job is not visible to the key.
 */
export async function follow(api, jobId, { cursor, signal, onJob }) {
  let retry = RETRY_MS;
  let pause = RETRY_MS;
  while (!signal.aborted) {
    const connection = new AbortController();
    const close = () => connection.abort();
    signal.addEventListener("abort", close);
    try {
      const response = await api.stream(`jobs/${jobId}/events`, { after: cursor.id, signal: connection.signal });
      for await (const frame of frames(response.body, close)) {
        pause = retry = frame.retry ?? retry;
        if (frame.id) cursor.id = frame.id;
        if (!frame.data || !frame.event.startsWith("job.")) continue;
        const job = JSON.parse(frame.data).data;
        onJob(job);
        if (["succeeded", "failed", "canceled"].includes(job.status)) return;
      }
    } catch (error) {
      if (signal.aborted || FINAL.has(error.status)) return;
      if (error.status === 400) cursor.id = null; // an id this gateway does not know: begin with the present state
      pause = error.retryAfter ? error.retryAfter * 1000 : Math.min(pause * 2, LONGEST_MS);
    } finally {
      signal.removeEventListener("abort", close);
      close();
    }
    await sleep(pause * (0.75 + Math.random() / 2), signal);
  }
}

/** The frames of a stream: `{event, data, id, retry}`. `onSilence` is called after too long a silence. */
export async function* frames(body, onSilence) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let frame = fresh();
  let rest = "";
  let watchdog;
  try {
    while (true) {
      watchdog = setTimeout(onSilence, SILENCE_MS);
      const { value, done } = await reader.read();
      clearTimeout(watchdog);
      if (done) return;
      // A lone CR at the end waits: it may be the first half of a CRLF.
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line) readLine(frame, line);
        else {
          if (frame.touched) yield finished(frame);
          frame = fresh();
        }
      }
    }
  } finally {
    clearTimeout(watchdog);
    reader.cancel().catch(() => {});
  }
}

const fresh = () => ({ event: "message", data: [], id: undefined, retry: undefined, touched: false });

const finished = ({ event, data, id, retry }) => ({ event, data: data.join("\n"), id, retry });

function readLine(frame, line) {
  const colon = line.indexOf(":");
  if (colon === 0) return; // a comment: the ping
  const name = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
  frame.touched = true;
  if (name === "data") frame.data.push(value);
  else if (name === "event") frame.event = value;
  else if (name === "id" && !value.includes("\0")) frame.id = value;
  else if (name === "retry" && /^\d+$/.test(value)) frame.retry = Number(value);
}
