import { html } from "../core/html.js";

/** Paths of 24 × 24 outlines. @type {Record<string, string>} */
const PATHS = {
  play: "M7 4.8v14.4a.6.6 0 0 0 .92.5l11.1-7.2a.6.6 0 0 0 0-1L7.92 4.3A.6.6 0 0 0 7 4.8Z",
  jobs: "M4 5h16v14H4zM4 9.5h16M9 9.5V19",
  film: "M4 5h16v14H4zM8 5v14M16 5v14M4 9.7h4M4 14.3h4M16 9.7h4M16 14.3h4",
  money: "M4 6.5h16v11H4zM12 14.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM7 12h.01M17 12h.01",
  admin: "M12 3.5l7 2.6v5.2c0 4.4-3 7.6-7 9.2-4-1.6-7-4.8-7-9.2V6.1zM9.2 12l2 2 3.6-3.9",
  team: "M9 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM3.5 19c.3-3 2.5-5 5.5-5s5.2 2 5.5 5M15.5 5.3a3 3 0 0 1 0 5.4M17 14.4c2 .6 3.3 2.3 3.5 4.6",
  out: "M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9",
  close: "M6 6l12 12M18 6L6 18",
  check: "M5 12.5l4.5 4.5L19 7.5",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  down: "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14",
  end: "M5.5 5.8v12.4a.4.4 0 0 0 .62.33l9.3-6.2a.4.4 0 0 0 0-.66l-9.3-6.2a.4.4 0 0 0-.62.33ZM19 5v14",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7l-1 1M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7l1-1",
  share: "M12 15V4M8 7.5l4-4 4 4M7 11H5v9h14v-9h-2",
  again: "M5 12a7 7 0 1 1 2 4.9M5 20v-4h4",
  compare: "M4 5h7v14H4zM13 5h7v14h-7z",
  picture: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01",
  camera: "M4 8h3.5L9 5.5h6L16.5 8H20v11H4zM12 16.2a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4Z",
  plus: "M12 5v14M5 12h14",
  trash: "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13",
  chevron: "M7 10l5 5 5-5",
  warning: "M12 4L2.8 20h18.4zM12 10v4.5M12 17.2h.01",
  info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 11v5M12 8h.01",
  sound: "M4 10v4h4l5 4V6L8 10zM16.5 9a4.5 4.5 0 0 1 0 6M19 6.5a8 8 0 0 1 0 11",
  text: "M5 7V5h14v2M12 5v14M9 19h6",
  code: "M8.5 7L3.5 12l5 5M15.5 7l5 5-5 5",
  more: "M5 12h.01M12 12h.01M19 12h.01M5 11.6v.8M12 11.6v.8M19 11.6v.8",
  bell: "M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15zM10 20.5h4",
  search: "M11 17a6 6 0 1 0 0-12 6 6 0 0 0 0 12ZM15.5 15.5L20 20",
};

/** A small outline that says nothing to a screen reader: its button has a name. @param {{name: string, size?: number}} props */
export function Icon({ name, size = 20 }) {
  return html`<svg class="icon" width=${size} height=${size} viewBox="0 0 24 24" fill="none" stroke="currentColor"
    stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
