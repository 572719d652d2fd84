// Preact, its hooks, signals and htm in one place: views and components import from here.

import { h } from "../vendor/preact/preact.js";
import htm from "../vendor/htm/htm.js";

export { createContext, render } from "../vendor/preact/preact.js";
export { useCallback, useContext, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact/hooks.js";
export { batch, computed, effect, signal } from "../vendor/signals/signals.js";

/** Elements from a template: `html\`<p>${text}</p>\``. A value is text, a property or an element; never HTML. */
export const html = htm.bind(h);
