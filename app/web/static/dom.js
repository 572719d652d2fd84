// Helpers to build the page. Text is always a text node: no code parses HTML.

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** A new element with its class, its properties, and children that are nodes or plain text. */
export function make(tag, { class: name = "", ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  if (name) element.className = name;
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** Sets an element's text if it differs, so that a live region announces only changes; hides it when empty. */
export function show(element, text) {
  if (element.textContent !== text) element.textContent = text;
  element.hidden = !text;
}

/** Announces a text to screen readers only. */
export function say(text) {
  byId("said").textContent = text;
}

/** The URL if it is http or https, else null: `javascript:` never becomes a link. */
export function webAddress(text) {
  try {
    const url = new URL(text);
    // A kept clip is here, also where this page is open under another name than FILMGATE_PUBLIC_URL.
    if (url.pathname.startsWith("/v1/clips/")) return url.pathname + url.search;
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

/** Waits; resolves early when the signal fires. */
export function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const timer = setTimeout(done, milliseconds);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
    signal?.addEventListener("abort", done);
  });
}
