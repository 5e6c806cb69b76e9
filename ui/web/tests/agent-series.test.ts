import assert from "node:assert/strict";
import { test } from "node:test";
import { appendSample, seriesFromSamples } from "../src/control/pages/agent/series";
import type { AgentRow } from "../src/lib/api-types";

const at = (time: number, last: number) => ({ at: time, last });

test("totals become rates, and the rate after a reset is unknown", () => {
  const course = seriesFromSamples(
    [at(0, 100), at(60, 700), at(120, 40), at(180, 100)],
    [at(0, 0), at(60, 6)],
    [],
  );
  assert.deepEqual(course.times, [60, 120, 180]);
  assert.deepEqual(course.requests, [10, null, 1]);
  assert.deepEqual(course.errors, [0.1, null, null]);
});

test("microseconds become milliseconds", () => {
  const course = seriesFromSamples([at(0, 0), at(60, 1)], [], [at(60, 25_000)]);
  assert.deepEqual(course.p99, [25]);
});

test("a live sample is appended once", () => {
  const row = { requests: 5, errors: 0, p99: 10 } as AgentRow;
  const begun = seriesFromSamples([at(0, 0), at(60, 60)], [], []);
  const on = appendSample(begun, 70, row);
  assert.deepEqual(on.times, [60, 70]);
  assert.deepEqual(on.requests, [1, 5]);
  assert.equal(appendSample(on, 70, row), on);
});
