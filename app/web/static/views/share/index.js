import { html, useState } from "../../core/html.js";
import { shortTitle } from "../../core/models.js";
import { useTitle } from "../../core/title.js";
import { plural, spanWords, webAddress } from "../../core/words.js";
import { Button } from "../../ui/Button.js";
import { Clip } from "../../ui/Clip.js";
import { Empty } from "../../ui/Empty.js";
import { Icon } from "../../ui/Icon.js";
import { Spinner } from "../../ui/Spinner.js";
import { Time } from "../../ui/Time.js";
import { useShare } from "./shared.js";

const TITLE = 60;

/** @type {Record<import("./shared.js").Ending, [string, string]>} */
const ENDINGS = {
  cut: ["This link is not whole", "Its end is missing. Copy the whole link, or ask for it again."],
  ended: ["This link has ended", "It has expired, or it was ended. Ask whoever sent it for a new one."],
  erased: ["This clip is gone", "It was deleted, so the link shows nothing any more. Ask whoever sent it."],
  refused: ["This link cannot be shown", "Try again later, or ask whoever sent it."],
};

/** `/share#SECRET` and `/wall#SECRET`: a clip, or the clips of a period, for people without a key. */
export function Shared() {
  const { shown, fault, busy, again, more, broken } = useShare();
  const ending = fault && ENDINGS[fault.ending];
  useTitle(ending ? ending[0] : shown ? headingOf(shown).slice(0, TITLE) : "Opening the link");
  if (fault && ending) return html`<div class="shared"><h1 class="unseen">${ending[0]}</h1>
    <${Empty} icon="link" title=${ending[0]} text=${fault.ending === "refused" ? fault.sentence : ending[1]}>
      ${fault.ending === "refused" && html`<${Button} onPress=${again}>Try again</${Button}>`}
    </${Empty}></div>`;
  if (!shown) return html`<div class="starting"><${Spinner} label="Opening the link" /></div>`;
  return shown.share.kind === "job"
    ? html`<${One} shown=${shown} broken=${broken} />`
    : html`<${Wall} shown=${shown} busy=${busy} again=${again} more=${more} broken=${broken} />`;
}

/** @param {import("./shared.js").Shown} shown */
const headingOf = ({ share, clips }) => share.title ?? (share.kind === "wall" || !clips[0] ? "Clips" : nameOf(clips[0]));

/** What a clip is called: its prompt, where that may be seen. @param {import("../../core/shapes.js").SharedClip} clip */
const nameOf = ({ prompt, title }) => prompt || shortTitle(title);

/** What is said of a clip below its name. @param {import("../../core/shapes.js").SharedClip} clip @param {string} length */
const factsOf = ({ prompt, title }, length) => [prompt && shortTitle(title), length].filter(Boolean).join(" · ");

/** Without the signature, which differs from one read to the next. @param {import("../../core/shapes.js").SharedClip} clip */
const keyOf = ({ created_at, video }) => `${created_at} ${video.url.replace(/\?.*/, "")}`;

/** How long a clip is in words, and what tells it from the film where the API does not know. @param {number | null} told @returns {[string, (film: HTMLVideoElement) => void]} */
function useLength(told) {
  const [seen, setSeen] = useState(0);
  const seconds = told ?? seen;
  return [seconds > 0 ? `${Math.round(seconds * 10) / 10} s` : "", (film) => setSeen(Number.isFinite(film.duration) ? film.duration : 0)];
}

/** @param {{shown: import("./shared.js").Shown, broken: () => void}} props */
function One({ shown, broken }) {
  const [clip] = shown.clips;
  const [length, measure] = useLength(clip.duration);
  return html`<article class="shared shared-one">
    <${Film} clip=${clip} broken=${broken} measure=${measure} />
    <header class="shared-head"><h1>${headingOf(shown)}</h1><${Download} clip=${clip} kind="main" /></header>
    <p class="note">${factsOf(clip, length)}${factsOf(clip, length) && " · "}made <${Time} at=${clip.created_at} /></p>
    <${Foot} share=${shown.share} />
  </article>`;
}

/** @param {{shown: import("./shared.js").Shown, busy: boolean, again: () => void, more: () => void, broken: () => void}} props */
function Wall({ shown, busy, again, more, broken }) {
  const { share, clips, next } = shown;
  const count = clips.length ? `${plural(clips.length, "clip")}${next ? " so far" : ""}` : "";
  return html`<div class="shared">
    <header><h1>${headingOf(shown)}</h1><p class="note" role="status">${[spanWords(share), count].filter(Boolean).join(" · ")}</p></header>
    ${clips.length
      ? html`<ul class="wall">${clips.map((clip) => html`<li key=${keyOf(clip)}><${Card} clip=${clip} broken=${broken} /></li>`)}</ul>`
      : html`<${Empty} title="No clips yet" text="Clips of this period are shown here as soon as they are ready.">
          <${Button} icon="again" busy=${busy} onPress=${again}>Look again</${Button}></${Empty}>`}
    ${next && html`<div class="row shared-more"><${Button} busy=${busy} onPress=${more}>Show more</${Button}></div>`}
    <${Foot} share=${share} />
  </div>`;
}

/** @param {{clip: import("../../core/shapes.js").SharedClip, broken: () => void}} props */
function Card({ clip, broken }) {
  const [length, measure] = useLength(clip.duration);
  return html`<article class="wall-clip">
  <${Film} clip=${clip} broken=${broken} measure=${measure} />
  <div class="shared-head"><h2>${nameOf(clip)}</h2><${Download} clip=${clip} kind="quiet" /></div>
  <p class="note">${factsOf(clip, length)}${factsOf(clip, length) && " · "}<${Time} at=${clip.created_at} /></p>
</article>`;
}

/** A new address is a new try. @param {{clip: import("../../core/shapes.js").SharedClip, broken: () => void, measure: (film: HTMLVideoElement) => void}} props */
const Film = ({ clip, broken, measure }) => html`<div class="shared-film">
  <${Clip} key=${clip.video.url} job=${{ output: { video: clip.video } }} label="Clip: ${(clip.prompt ?? clip.title).slice(0, 60)}" onBroken=${broken} onSize=${measure} /></div>`;

/** @param {{clip: import("../../core/shapes.js").SharedClip, kind: "main" | "quiet"}} props */
function Download({ clip, kind }) {
  const address = webAddress(clip.video.url);
  if (!address) return null;
  const ending = /\.\w{2,4}$/.exec(clip.video.file_name ?? "")?.[0] ?? ".mp4";
  const name = `${clip.title} ${clip.created_at.slice(0, 10)}${ending}`.replaceAll("/", "-");
  const words = kind === "main" ? "Download" : "";
  return html`<a class="button ${kind} ${words ? "" : "alone"}" href=${address} download=${name} target="_blank" rel="noopener noreferrer"
    aria-label=${words ? undefined : `Download ${clip.title}`}><${Icon} name="down" size=${18} />${words}</a>`;
}

/** @param {{share: import("./shared.js").Shown["share"]}} props */
const Foot = ({ share }) => html`<footer class="shared-foot note">
  <span>Made with Filmgate</span><span>This link ends <${Time} at=${share.expires_at} />.</span></footer>`;
