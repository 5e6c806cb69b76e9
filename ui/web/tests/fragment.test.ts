import assert from "node:assert/strict";
import { test } from "node:test";
import { takeFragment } from "../src/lib/fragment";

/** What is taken at an address, and what stands in its bar afterwards. */
function taken(address: string): [string, string] {
  const at = new URL(address);
  const entries = {
    replaceState: (_state: unknown, _title: string, to: string) => {
      at.href = new URL(to, at).href;
    },
  };
  const secret = takeFragment(
    "invitation",
    at as unknown as Location,
    entries as unknown as History,
  );
  return [secret, at.href];
}

test("a link's secret is taken out of the address", () => {
  assert.deepEqual(taken("https://x.example/#invitation=fhi_a-b_c"), [
    "fhi_a-b_c",
    "https://x.example/",
  ]);
  assert.deepEqual(taken("https://x.example/people?org=acme#invitation=fhi_x"), [
    "fhi_x",
    "https://x.example/people?org=acme",
  ]);
});

test("nothing else is a link, and stays as it is", () => {
  for (const address of [
    "https://x.example/",
    "https://x.example/#",
    "https://x.example/#part",
    "https://x.example/#invitation=",
    "https://x.example/?invitation=fhi_x",
  ])
    assert.deepEqual(taken(address), ["", address]);
});
