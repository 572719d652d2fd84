// Server-sent events over fetch, because EventSource carries no headers.

const SILENCE_MS = 30_000; // the server pings every 10 s

/** @typedef {{event: string, data: string, id?: string, retry?: number}} Frame */

/**
 * The frames of a stream. `onSilence` is called after too long a silence.
 * @param {ReadableStream<Uint8Array>} body @param {() => void} onSilence @returns {AsyncGenerator<Frame>}
 */
export async function* frames(body, onSilence) {
  const reader = body.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
  let frame = fresh();
  let rest = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let watchdog;
  try {
    while (true) {
      watchdog = setTimeout(onSilence, SILENCE_MS);
      const { value, done } = await reader.read();
      clearTimeout(watchdog);
      if (done) return;
      // A lone CR at the end waits: it may be the first half of a CRLF.
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line) readLine(frame, line);
        else {
          if (frame.touched) yield { ...frame, data: frame.data.join("\n") };
          frame = fresh();
        }
      }
    }
  } finally {
    clearTimeout(watchdog);
    reader.cancel().catch(() => {});
  }
}

/** @typedef {{event: string, data: string[], id?: string, retry?: number, touched: boolean}} Unfinished */

/** @returns {Unfinished} */
const fresh = () => ({ event: "message", data: [], id: undefined, retry: undefined, touched: false });

/** @param {Unfinished} frame @param {string} line */
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
