// Every view: its addresses, who may see it, its place in the rail, and where the component is that shows it.

/** Every view of the page. @type {import("./core/views.js").View[]} */
export const VIEWS = [
  {
    name: "playground",
    paths: ["/"],
    who: "user",
    rail: { label: "Playground", icon: "play", path: "/", key: "p" },
    load: async () => (await import("./views/playground/index.js")).Playground,
  },
  {
    name: "jobs",
    paths: ["/jobs", "/jobs/:id"],
    who: "signed-in",
    rail: { label: "Jobs", icon: "jobs", path: "/jobs", key: "j" },
    load: async () => (await import("./views/jobs/index.js")).Jobs,
  },
  {
    name: "money",
    paths: ["/money"],
    who: "signed-in",
    rail: { label: "Money", icon: "money", path: "/money", key: "m" },
    load: async () => (await import("./views/money/index.js")).Money,
  },
  {
    name: "team",
    paths: ["/team", "/team/:view", "/team/:view/:id"],
    who: "user",
    rail: { label: "Team", icon: "team", path: "/team", key: "t" },
    load: async () => (await import("./views/team/index.js")).Team,
  },
  {
    name: "admin",
    paths: ["/admin", "/admin/:view", "/admin/:view/:id"],
    who: "administrator",
    rail: { label: "Administration", icon: "admin", path: "/admin", key: "a" },
    load: async () => (await import("./views/admin/index.js")).Administration,
  },
  { name: "enter", paths: ["/enter"], who: "anybody", load: async () => (await import("./views/sign-in/enter.js")).Enter },
  { name: "invite", paths: ["/invite"], who: "anybody", load: async () => (await import("./views/sign-in/invite.js")).Invite },
  { name: "share", paths: ["/share", "/wall"], who: "anybody", load: async () => (await import("./views/share/index.js")).Shared },
];
