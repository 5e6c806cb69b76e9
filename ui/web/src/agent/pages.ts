import type { Page } from "../lib/router";
import type { IconName } from "../parts/icon";

/** Every page of the agent's own interface, in the order of its navigation. */
export const pages: readonly (Page & { icon: IconName })[] = [
  { path: "/", title: "Health", icon: "agent", load: () => import("../pages/health") },
];
