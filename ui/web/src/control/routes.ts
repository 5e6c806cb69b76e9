import type { IconName } from "../components/icon";
import type { Role } from "../lib/api-types";
import type { Route } from "../lib/router";

/** A page of the control plane's dashboard. With `group` it is in the navigation. */
export interface ControlRoute extends Route {
  group?: string;
  icon?: IconName;
  /** As in `NavEntry`. */
  childPath?: string;
  /** Hidden from the navigation without this role. */
  role?: Role;
  superAdminOnly?: boolean;
}

/** All pages, in the order of the navigation. To add one: docs/development/web.md. */
export const routes: readonly ControlRoute[] = [
  {
    path: "/",
    title: "Fleet",
    group: "Fleet",
    icon: "fleet",
    childPath: "/agents",
    load: () => import("./pages/fleet"),
  },
  { path: "/fleet", title: "Fleet", load: () => import("./pages/fleet") },
  { path: "/agents/:vault", title: "Agent", load: () => import("./pages/agent") },
  {
    path: "/policies",
    title: "Policies",
    group: "Fleet",
    icon: "policy",
    load: () => import("./pages/policies"),
  },
  { path: "/policies/:name", title: "Policy", load: () => import("./pages/policy") },
  {
    path: "/rollouts",
    title: "Rollouts",
    group: "Fleet",
    icon: "rollout",
    load: () => import("./pages/rollouts"),
  },
  {
    path: "/enrolment",
    title: "Enrolment",
    group: "Fleet",
    icon: "key",
    load: () => import("./pages/enrolment"),
  },
  {
    path: "/alerts",
    title: "Alerts",
    group: "Fleet",
    icon: "bell",
    load: () => import("./pages/alerts"),
  },
  {
    path: "/usage",
    title: "Usage and capacity",
    group: "Fleet",
    icon: "chart",
    load: () => import("./pages/usage"),
  },
  {
    path: "/compliance",
    title: "Compliance",
    group: "Evidence",
    icon: "report",
    role: "admin",
    load: () => import("./pages/compliance"),
  },
  {
    path: "/retention",
    title: "Retention",
    group: "Evidence",
    icon: "lock",
    role: "admin",
    load: () => import("./pages/retention"),
  },
  {
    path: "/audit",
    title: "Audit log",
    group: "Evidence",
    icon: "audit",
    role: "admin",
    load: () => import("./pages/audit"),
  },
  {
    path: "/people",
    title: "People",
    group: "Organization",
    icon: "people",
    load: () => import("./pages/people"),
  },
  {
    path: "/organizations",
    title: "Organizations",
    group: "Organization",
    icon: "tree",
    superAdminOnly: true,
    load: () => import("./pages/organizations"),
  },
  {
    path: "/settings",
    title: "Settings",
    group: "Organization",
    icon: "gear",
    load: () => import("./pages/settings"),
  },
];
