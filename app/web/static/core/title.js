import { effect, signal, useEffect } from "./html.js";

const shown = signal("");

/** What happened while nobody looked; it stands in the tab's title instead of the view. @type {import("./html.js").Signal<string>} */
export const news = signal("");

effect(() => {
  const text = news.value || shown.value;
  document.title = text ? `${text} · Filmgate` : "Filmgate";
});

/** The tab's title while a component is shown: what one sees, and its state. @param {string} text */
export function useTitle(text) {
  useEffect(() => {
    shown.value = text;
  }, [text]);
}
