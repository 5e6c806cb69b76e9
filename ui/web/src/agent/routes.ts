import type { IconName } from "../components/icon";
import type { Route } from "../lib/router";

/** A page of the agent's dashboard. With `group` it is in the navigation. */
export interface AgentRoute extends Route {
  group?: (typeof NAV_GROUPS)[number];
  icon?: IconName;
}

/** The page for `/`. */
export const HOME = "/secrets";
export const NAV_GROUPS = ["Secrets", "Access", "Evidence", "This agent"] as const;

/** All pages, in the order of the navigation. To add one: docs/development/web.md. */
export const routes: readonly AgentRoute[] = [
  {
    path: "/secrets",
    title: "Secrets",
    group: "Secrets",
    icon: "lock",
    load: () => import("./pages/secrets"),
  },
  { path: "/secrets/one", title: "Secret", load: () => import("./pages/secret") },
  {
    path: "/rotations",
    title: "Rotations",
    group: "Secrets",
    icon: "rotate",
    load: () => import("./pages/rotations"),
  },
  { path: "/rotations/one", title: "Rotation", load: () => import("./pages/rotation") },
  {
    path: "/leases",
    title: "Leases",
    group: "Secrets",
    icon: "key",
    load: () => import("./pages/leases"),
  },
  { path: "/leases/one", title: "Lease", load: () => import("./pages/lease") },
  {
    path: "/policies",
    title: "Policies",
    group: "Access",
    icon: "policy",
    load: () => import("./pages/policies"),
  },
  { path: "/policies/:name", title: "Policy", load: () => import("./pages/policy") },
  {
    path: "/dry-run",
    title: "Dry run",
    group: "Access",
    icon: "check",
    load: () => import("./pages/dry-run"),
  },
  {
    path: "/users",
    title: "Users and keys",
    group: "Access",
    icon: "people",
    load: () => import("./pages/users"),
  },
  { path: "/users/:id", title: "User", load: () => import("./pages/user") },
  {
    path: "/second-factors",
    title: "Second factors",
    group: "Access",
    icon: "key",
    load: () => import("./pages/second-factors"),
  },
  {
    path: "/entities",
    title: "Entities",
    group: "Access",
    icon: "agent",
    load: () => import("./pages/entities"),
  },
  { path: "/entities/:id", title: "Entity", load: () => import("./pages/entity") },
  {
    path: "/groups",
    title: "Groups",
    group: "Access",
    icon: "fleet",
    load: () => import("./pages/groups"),
  },
  { path: "/groups/:id", title: "Group", load: () => import("./pages/group") },
  {
    path: "/sessions",
    title: "My sessions",
    group: "Access",
    icon: "key",
    load: () => import("./pages/sessions"),
  },
  {
    path: "/audit",
    title: "Audit log",
    group: "Evidence",
    icon: "audit",
    load: () => import("./pages/audit"),
  },
  {
    path: "/sent",
    title: "Egress ledger",
    group: "Evidence",
    icon: "report",
    load: () => import("./pages/egress"),
  },
  {
    path: "/health",
    title: "Health",
    group: "This agent",
    icon: "chart",
    load: () => import("./pages/health"),
  },
  {
    path: "/backups",
    title: "Backups",
    group: "This agent",
    icon: "copy",
    load: () => import("./pages/backups"),
  },
  {
    path: "/actors",
    title: "Actors",
    group: "This agent",
    icon: "tree",
    load: () => import("./pages/actors"),
  },
  {
    path: "/link",
    title: "Link",
    group: "This agent",
    icon: "link",
    load: () => import("./pages/link"),
  },
];
