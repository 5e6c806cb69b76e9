import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import type { RotationPolicy } from "../src/agent/api-types";
import {
  describeNotify,
  describeSchedule,
  describeWindow,
  draftOf,
  faultyField,
  type PolicyDraft,
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
  max_reads: 0,
  grace: "1h30m0s",
  adoption_window: "720h0m0s",
  retry: { attempts: 5, base: "30s", cap: "1h0m0s" },
  notify: null,
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
});

test("a limit of reads counts beside a schedule, or alone", () => {
  const manual = { ...POLICY, interval: null };
  equal(describeSchedule(manual), "On request only");
  equal(describeSchedule({ ...manual, max_reads: 1 }), "After 1 read");
  equal(describeSchedule({ ...POLICY, max_reads: 5000 }), "Every 30d, or after 5,000 reads");
  equal(policyOf({ ...draftOf(POLICY), max_reads: "12" }, POLICY).max_reads, 12);
});

test("what ends the grace period early is said in words", () => {
  equal(describeWindow(POLICY), "30d");
  equal(
    describeWindow({ ...POLICY, adoption_window: "0s" }),
    "None: the grace period never ends early",
  );
  equal(policyOf({ ...draftOf(POLICY), adoption_window: " 7d " }, POLICY).adoption_window, "7d");
});

test("channels are the lines of a text, each named once", () => {
  const draft = { ...draftOf(POLICY), channels: " on call \n\na, b\non call\n" };
  const policy = policyOf({ ...draft, events: ["stuck"] }, POLICY);
  deepEqual(policy.notify, { channels: ["on call", "a, b"], events: ["stuck"] });
  equal(draftOf(policy).channels, "on call\na, b");
  equal(describeNotify(policy), "on call, a, b: stuck");
  equal(describeNotify(POLICY), "Nobody");
  deepEqual(policyOf(draft, POLICY).notify?.events, ["failed", "stuck", "lagging"]);
  equal(policyOf({ ...draft, channels: " \n" }, policy).notify, null);
});

test("what cannot be sent is refused at its field", () => {
  const refuses = (changed: Partial<PolicyDraft>, field: string, message: RegExp) =>
    throws(
      () => policyOf({ ...draftOf(POLICY), ...changed }, POLICY),
      (thrown: ApiError) => faultyField(thrown) === field && message.test(thrown.message),
    );
  refuses({ config: "{" }, "config", /^Not JSON/);
  refuses({ channels: "tö" }, "channels", /"tö"/);
  refuses({ channels: "c".repeat(65) }, "channels", /at most 64/);
  refuses({ channels: [..."abcdefghi"].join("\n") }, "channels", /^9 channels.* at most 8/);
  refuses({ channels: "on call", events: [] }, "events", /choose one/);
  policyOf({ ...draftOf(POLICY), channels: [..."abcdefgh"].join("\n") }, POLICY);
});

test("an error belongs to the field that it names", () => {
  const error = (code: string, field = "", message = "") =>
    new ApiError(400, code, message, "", { field });
  equal(faultyField(error("rotator_unknown")), "rotator");
  equal(faultyField(error("rotator_config", "rotator_config")), "config");
  equal(faultyField(error("rotation_policy_invalid", "retry.cap")), "cap");
  equal(faultyField(error("rotation_policy_invalid", "policy")), null);
  equal(faultyField(error("duration_invalid", "grace")), "grace");
  const place = (at: string) => error("body_invalid", "", `wrong type - at \`$.${at}\``);
  equal(faultyField(place("max_reads")), "max_reads");
  equal(faultyField(place("notify.channels[0]")), "channels");
  equal(faultyField(place("notify.events")), "events");
  equal(faultyField(error("body_invalid", "", "wrong type")), null);
});
