// Every view: its addresses, who may see it, its place in the rail, and the component that shows it.

import { Administration } from "./views/admin/index.js";
import { Jobs } from "./views/jobs/index.js";
import { Money } from "./views/money/index.js";
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
  {
    name: "jobs",
    paths: ["/jobs", "/jobs/:id"],
    who: "signed-in",
    rail: { label: "Jobs", icon: "jobs", path: "/jobs", key: "j" },
    component: Jobs,
  },
  {
    name: "money",
    paths: ["/money"],
    who: "signed-in",
    rail: { label: "Money", icon: "money", path: "/money", key: "m" },
    component: Money,
  },
  {
    name: "admin",
    paths: ["/admin", "/admin/:view"],
    who: "administrator",
    rail: { label: "Administration", icon: "admin", path: "/admin", key: "a" },
    component: Administration,
  },
  { name: "enter", paths: ["/enter"], who: "anybody", component: Enter },
  { name: "invite", paths: ["/invite"], who: "anybody", component: Invite },
  { name: "share", paths: ["/share", "/wall"], who: "anybody", component: Shared },
];
