import { serverNow } from "../core/api.js";
import { html, useState } from "../core/html.js";
import { fileOf } from "../core/job.js";
import { webAddress } from "../core/words.js";

const rest = (/** @type {any} */ event) => event.currentTarget.pause();

/**
 * A job's clip or sound, or why it cannot be played. `quiet`: without controls, playing while it is pointed at.
 * `poster` is shown before it plays, where the gateway makes no poster of the clip itself.
 * `onBroken` is called when its address does not play.
 * @param {{job: any, quiet?: boolean, poster?: string | null, autoplay?: boolean, label?: string, onSize?: (video: HTMLVideoElement) => void, onBroken?: () => void}} props
 */
export function Clip({ job, quiet = false, poster, autoplay = false, label = "Clip", onSize, onBroken }) {
  const [broken, setBroken] = useState(false);
  const address = webAddress(fileOf(job)?.url ?? "");
  if (!address || broken) {
    const gone = job.expires_at && Date.parse(job.expires_at) < serverNow();
    const reason = gone ? "The clip's address has expired." : address ? "The clip cannot be played from its address." : "No clip.";
    return html`<p class="clip-gone">${reason}</p>`;
  }
  const before = webAddress(fileOf(job)?.poster ?? "") || poster;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const play = (/** @type {any} */ event) => !still && event.currentTarget.play().catch(() => {});
  const moves = quiet ? { onPointerEnter: play, onPointerLeave: rest, muted: true, tabindex: -1 } : { controls: true };
  return html`<video class="clip" src=${address} poster=${before ?? undefined} loop playsinline preload=${quiet && before ? "none" : "metadata"} aria-label=${label} autoplay=${autoplay && !still}
    muted=${quiet || autoplay} ...${moves} onError=${() => (setBroken(true), onBroken?.())}
    onLoadedMetadata=${(/** @type {any} */ event) => onSize?.(event.currentTarget)}></video>`;
}
