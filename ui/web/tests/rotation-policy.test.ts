import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import type { RotationPolicy } from "../src/agent/api-types";
import {
  describeSchedule,
  draftOf,
  faultyField,
  policyOf,
  shortDuration,
} from "../src/agent/rotation-policy";
import { ApiError } from "../src/lib/api";

const POLICY: RotationPolicy = {
  rotator: "generated",
  config: { length: 24 },
  connection: "",
  enabled: true,
  interval: "720h0m0s",
  cron: "",
  window: "1h0m0s",
  grace: "1h30m0s",
  retry: { attempts: 5, base: "30s", cap: "1h0m0s" },
};

test("durations are shown as a person writes them", () => {
  equal(shortDuration("720h0m0s"), "30d");
  equal(shortDuration("1h30m0s"), "1h30m");
  equal(shortDuration("25h0m0s"), "25h");
  equal(shortDuration("2m5s"), "2m5s");
  equal(shortDuration("0s"), "0s");
  equal(shortDuration("30d"), "30d");
});

test("a policy goes through the form unchanged, with fields that the form does not know", () => {
  const before = { ...POLICY, later: 1 };
  const after = policyOf(draftOf(before), before);
  deepEqual(draftOf(after), draftOf(before));
  equal((after as typeof before).later, 1);
  deepEqual(after.config, POLICY.config);
});

test("the schedule that is not chosen is left out", () => {
  const cron = policyOf({ ...draftOf(POLICY), schedule: "cron", cron: "0 3 * * *" }, POLICY);
  deepEqual([cron.interval, cron.cron], [null, "0 3 * * *"]);
  equal(describeSchedule(cron), "0 3 * * * (UTC), within 1h");
  const manual = policyOf({ ...draftOf(cron), schedule: "manual" }, cron);
  deepEqual([manual.interval, manual.cron], [null, ""]);
  equal(describeSchedule({ ...POLICY, enabled: false }), "Every 30d, switched off");
  throws(() => policyOf({ ...draftOf(POLICY), config: "{" }, POLICY), SyntaxError);
});

test("an error belongs to the field that it names", () => {
  const error = (code: string, field = "") => new ApiError(400, code, "", "", { field });
  equal(faultyField(error("rotator_unknown")), "rotator");
  equal(faultyField(error("rotator_config", "rotator_config")), "config");
  equal(faultyField(error("rotation_policy_invalid", "retry.cap")), "cap");
  equal(faultyField(error("rotation_policy_invalid", "policy")), null);
  equal(faultyField(error("duration_invalid", "grace")), "grace");
});
