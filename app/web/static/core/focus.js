/** Moves the focus to the content: where one goes on reading after what had the focus is gone. */
export const focusContent = () => document.getElementById("main")?.focus({ preventScroll: true });
