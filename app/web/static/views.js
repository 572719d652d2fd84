// Every view: its addresses, who may see it, its place in the rail, and the component that shows it.

import { Playground } from "./views/playground/index.js";

/** Every view of the page. @type {import("./core/views.js").View[]} */
export const VIEWS = [
  {
    name: "playground",
    paths: ["/"],
    who: "user",
    rail: { label: "Playground", icon: "play", path: "/", key: "p" },
    component: Playground,
  },
];
