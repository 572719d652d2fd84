// What a link of a share opens, read with the link's own secret. It is behind `#`, which browsers send to nobody.

import { Refused, get, serverNow } from "../../core/api.js";
import { useCallback, useEffect, useRef, useState } from "../../core/html.js";
import { persist } from "../../core/retry.js";

const PAGE = 24;
const SECRET = /^#fg_share_\w+$/;
const STALE_MS = 50 * 60_000; // the address of a kept clip ends after an hour
const BROKEN_MS = 60_000; // a clip that does not play right after it was read does not play

/** @typedef {{share: import("../../core/shapes.js").SharedPage["share"], clips: import("../../core/shapes.js").SharedClip[], next: string | null}} Shown */
/** @typedef {"cut" | "ended" | "erased" | "refused"} Ending */

/** The secret in the address; empty when it is not whole. */
const given = () => (SECRET.test(location.hash) ? location.hash.slice(1) : "");

/**
 * One page of clips, or more until there are `least`: a page may be empty and have more behind it.
 * @param {string} secret @param {{cursor?: string | null, least?: number, signal: AbortSignal}} from @returns {Promise<Shown>}
 */
async function read(secret, { cursor = null, least = 1, signal }) {
  /** @type {import("../../core/shapes.js").SharedClip[]} */
  const clips = [];
  for (;;) {
    const after = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
    const page = await get(`shares/current?limit=${PAGE}${after}`, { bearer: secret, signal });
    clips.push(...page.data);
    cursor = page.next_cursor;
    if (!cursor || clips.length >= least) return { share: page.share, clips, next: cursor };
  }
}

/** @param {unknown} error @returns {{ending: Ending, sentence: string}} */
function endingOf(error) {
  const status = error instanceof Refused ? error.status : 0;
  return { ending: status === 401 ? "ended" : status === 404 ? "erased" : "refused", sentence: /** @type {Error} */ (error).message };
}

/** The share of this address, and how to read it further, again, or after a clip did not play. */
export function useShare() {
  const [secret, setSecret] = useState(given);
  const [shown, setShown] = useState(/** @type {Shown | null} */ (null));
  const [fault, setFault] = useState(/** @type {{ending: Ending, sentence: string} | null} */ (null));
  const [busy, setBusy] = useState(false);
  const last = useRef({ at: 0, count: 1, stop: new AbortController() });

  /** One read at a time: a new one ends the one before it. */
  const run = useCallback(
    /** @param {Shown | null} before */
    async (before) => {
      last.current.stop.abort();
      const { signal } = (last.current.stop = new AbortController());
      setFault(secret ? null : { ending: "cut", sentence: "" });
      if (!secret) return;
      setBusy(true);
      try {
        const least = before ? 1 : last.current.count;
        const found = await persist(() => read(secret, { cursor: before?.next, least, signal }), signal);
        if (!found) return;
        const clips = before ? [...before.clips, ...found.clips] : found.clips;
        last.current.at = serverNow();
        last.current.count = Math.max(1, clips.length);
        setShown({ ...found, clips });
      } catch (error) {
        setShown(null);
        setFault(endingOf(error));
      }
      setBusy(false);
    },
    [secret],
  );

  useEffect(() => {
    last.current.count = 1;
    setShown(null);
    void run(null);
    return () => last.current.stop.abort();
  }, [run]);

  useEffect(() => {
    const moved = () => {
      if (location.hash === "#main") history.replaceState(null, "", `${location.pathname}#${secret}`); // the link to the content
      else setSecret(given());
    };
    const looked = () => !document.hidden && last.current.at > 0 && serverNow() - last.current.at > STALE_MS && !playing() && void run(null);
    addEventListener("hashchange", moved);
    document.addEventListener("visibilitychange", looked);
    return () => {
      removeEventListener("hashchange", moved);
      document.removeEventListener("visibilitychange", looked);
    };
  }, [secret, run]);

  return {
    shown,
    fault,
    busy,
    again: () => void run(null),
    more: () => shown?.next && void run(shown),
    broken: () => serverNow() - last.current.at > BROKEN_MS && void run(null),
  };
}

const playing = () => [...document.querySelectorAll("video")].some((video) => !video.paused);
