/** Leases: what their states mean, where they lie, and what can be done with them. Pure. */

import type { Lease, LeaseState } from "./api-types";

interface StateStyle {
  /** A status of `StatusBadge`. */
  status: string;
  meaning: string;
}

export const LEASE_STATES: Record<LeaseState, StateStyle> = {
  creating: { status: "pending", meaning: "The user is created. Nobody has its password yet." },
  active: { status: "active", meaning: "The user exists until the lease expires or is revoked." },
  revoking: {
    status: "late",
    meaning: "The lease has ended. Its user is dropped, and that is tried until it is done.",
  },
  irrevocable: {
    status: "failed",
    meaning:
      "The user could not be dropped. Mend the cause: it is tried again each hour, or when the lease is revoked again.",
  },
  revoked: { status: "revoked", meaning: "The lease is over." },
};

/** Whether its user may still be at the server. */
export const isStanding = ({ state }: Lease) => state !== "revoked";

/** Whether its user could not be dropped so far, so that it may be left behind. */
export const isFailing = ({ state, attempt }: Lease) =>
  state === "irrevocable" || (state === "revoking" && attempt > 0);

export function leaseHref(id: string): string {
  return `/leases/one?id=${encodeURIComponent(id)}`;
}

/** The list of a folder. */
export function leasesHref(folder: string): string {
  return `/leases?prefix=${encodeURIComponent(folder)}`;
}

/** `database/creds/readonly/0197…` → `database/creds/readonly/`. */
export function leaseFolder(id: string): string {
  return id.slice(0, id.lastIndexOf("/") + 1);
}

/** The folders of leases, each with the number of leases in it. */
export function countByFolder(leases: readonly Lease[]): Map<string, number> {
  const result = new Map<string, number>();
  for (const { id } of leases) {
    const folder = leaseFolder(id);
    result.set(folder, (result.get(folder) ?? 0) + 1);
  }
  return result;
}

/** A filter as the folder that a revocation by prefix is about, without its closing slash. */
export function folderOf(prefix: string): string {
  return prefix.replace(/\/+$/, "");
}
