import { useEffect } from "./html.js";

/** The tab's title while a component is shown: what one sees, and its state. @param {string} text */
export function useTitle(text) {
  useEffect(() => {
    document.title = text ? `${text} · Filmgate` : "Filmgate";
  }, [text]);
}
