import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import type { Lease, LeaseState } from "../src/agent/api-types";
import {
  countByFolder,
  folderOf,
  isFailing,
  isStanding,
  leaseFolder,
  leaseHref,
} from "../src/agent/leases";

const lease = (id: string, state: LeaseState = "active", attempt = 0) =>
  ({ id, state, attempt }) as Lease;

test("leases are counted by the folder that they lie in", () => {
  const leases = ["db/creds/a/1", "db/creds/a/2", "db/creds/b/1"].map(id => lease(id));
  deepEqual(
    [...countByFolder(leases)],
    [
      ["db/creds/a/", 2],
      ["db/creds/b/", 1],
    ],
  );
  equal(leaseFolder("db/creds/a/1"), "db/creds/a/");
  equal(folderOf("db/creds/a/"), "db/creds/a");
  equal(folderOf("db/creds/a"), "db/creds/a");
  equal(leaseHref("db/creds/ä/1"), "/leases/one?id=db%2Fcreds%2F%C3%A4%2F1");
});

test("a user may be left behind only where it could not be dropped", () => {
  const states: LeaseState[] = ["creating", "active", "revoking", "irrevocable", "revoked"];
  deepEqual(
    states.filter(state => isFailing(lease("a/b", state))),
    ["irrevocable"],
  );
  equal(isFailing(lease("a/b", "revoking", 1)), true);
  deepEqual(
    states.filter(state => !isStanding(lease("a/b", state))),
    ["revoked"],
  );
});
