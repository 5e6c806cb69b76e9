import type { Route } from "../lib/router";
import type { IconName } from "../parts/icon";

/** A page of the agent's own interface; with `group` it is in the navigation. */
export interface AgentRoute extends Route {
  group?: (typeof NAV_GROUPS)[number];
  icon?: IconName;
}

/** Where `/` leads. */
export const HOME = "/secrets";
export const NAV_GROUPS = ["Secrets", "Access", "Evidence", "This agent"] as const;

/** Every page, in the order of the navigation. To add one: docs/web.md. */
export const routes: readonly AgentRoute[] = [
  {
    path: "/secrets",
    title: "Secrets",
    group: "Secrets",
    icon: "lock",
    load: () => import("../pages/vault/secrets"),
  },
  { path: "/secrets/one", title: "Secret", load: () => import("../pages/vault/secret") },
  {
    path: "/policies",
    title: "Policies",
    group: "Access",
    icon: "policy",
    load: () => import("../pages/vault/policies"),
  },
  { path: "/policies/:name", title: "Policy", load: () => import("../pages/vault/policy") },
  {
    path: "/dry-run",
    title: "Dry run",
    group: "Access",
    icon: "check",
    load: () => import("../pages/vault/dry-run"),
  },
  {
    path: "/users",
    title: "Users and keys",
    group: "Access",
    icon: "people",
    load: () => import("../pages/vault/users"),
  },
  { path: "/users/:id", title: "User", load: () => import("../pages/vault/user") },
  {
    path: "/audit",
    title: "Audit log",
    group: "Evidence",
    icon: "audit",
    load: () => import("../pages/vault/audit"),
  },
  {
    path: "/sent",
    title: "What left",
    group: "Evidence",
    icon: "report",
    load: () => import("../pages/vault/sent"),
  },
  {
    path: "/health",
    title: "Health",
    group: "This agent",
    icon: "chart",
    load: () => import("../pages/vault/health"),
  },
  {
    path: "/actors",
    title: "Actors",
    group: "This agent",
    icon: "tree",
    load: () => import("../pages/vault/actors"),
  },
  {
    path: "/link",
    title: "Link",
    group: "This agent",
    icon: "link",
    load: () => import("../pages/vault/link"),
  },
];
