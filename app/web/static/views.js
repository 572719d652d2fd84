// Every view: its addresses, who may see it, its place in the rail, and the component that shows it.

import { Playground } from "./views/playground/index.js";
import { Shared } from "./views/share/index.js";
import { Enter } from "./views/sign-in/enter.js";
import { Invite } from "./views/sign-in/invite.js";

/** Every view of the page. @type {import("./core/views.js").View[]} */
export const VIEWS = [
  {
    name: "playground",
    paths: ["/"],
    who: "user",
    rail: { label: "Playground", icon: "play", path: "/", key: "p" },
    component: Playground,
  },
  { name: "enter", paths: ["/enter"], who: "anybody", component: Enter },
  { name: "invite", paths: ["/invite"], who: "anybody", component: Invite },
  { name: "share", paths: ["/share", "/wall"], who: "anybody", component: Shared },
];
