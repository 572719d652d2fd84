import { html, useLayoutEffect, useRef, useState } from "../core/html.js";

const BEYOND = 4; // lines above and below what is seen, so that a quick turn of the wheel meets no gap

/**
 * Lines of one height, of which only those in sight are in the document: thousands of them scroll as a few dozen do.
 *
 * `children(from, to)` renders the lines of these numbers. `onNear` is called while the last lines are near.
 * @param {{lines: number, height: number, more?: boolean, onNear?: () => void, children: (from: number, to: number) => any}} props
 */
export function Rows({ lines, height, more = false, onNear, children }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [seen, setSeen] = useState({ from: 0, to: 24 });
  const measure = () => {
    if (!box.current) return;
    const top = box.current.getBoundingClientRect().top;
    const from = Math.max(0, Math.floor(-top / height) - BEYOND);
    const to = Math.max(from, Math.ceil((innerHeight - top) / height) + BEYOND);
    setSeen((now) => (now.from === from && now.to === to ? now : { from, to }));
  };
  useLayoutEffect(() => {
    measure();
    addEventListener("scroll", measure, { passive: true });
    addEventListener("resize", measure);
    return () => {
      removeEventListener("scroll", measure);
      removeEventListener("resize", measure);
    };
  }, [lines, height]);
  useLayoutEffect(() => {
    if (more && seen.to >= lines - 2 * (seen.to - seen.from)) onNear?.();
  });
  const to = Math.min(lines, seen.to);
  const from = Math.min(seen.from, to);
  return html`<div class="rows" role="none" ref=${box} style=${{ height: `${lines * height}px` }}>
    <div class="rows-seen" role="none" style=${{ transform: `translateY(${from * height}px)` }}>${children(from, to)}</div>
  </div>`;
}

/** How much larger than usual this browser's text is: heights in pixels grow with it. */
export const textScale = () => Number.parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;

/** The width of an element in pixels, followed; `[ref, width]`, 0 before it is known. @returns {[any, number]} */
export function useWidth() {
  const element = useRef(/** @type {HTMLElement | null} */ (null));
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    if (!element.current) return undefined;
    setWidth(element.current.clientWidth);
    const watcher = new ResizeObserver(([entry]) => setWidth(Math.round(entry.contentRect.width)));
    watcher.observe(element.current);
    return () => watcher.disconnect();
  }, []);
  return [element, width];
}
