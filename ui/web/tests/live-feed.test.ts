import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { type FeedSocket, LiveFeed, SILENCE_TIMEOUT } from "../src/lib/live-feed";

/** A socket whose other end is the test. */
class Wire implements FeedSocket {
  readyState: FeedSocket["readyState"] = 0;
  onopen: FeedSocket["onopen"] = null;
  onclose: FeedSocket["onclose"] = null;
  onmessage: FeedSocket["onmessage"] = null;
  said: unknown[] = [];

  send(text: string) {
    this.said.push(JSON.parse(text));
  }

  close() {
    this.readyState = 3;
  }

  open() {
    this.readyState = 1;
    this.onopen?.call(this as unknown as WebSocket, new Event("open"));
  }

  tell(frame: object) {
    const event = { data: JSON.stringify(frame) } as MessageEvent;
    this.onmessage?.call(this as unknown as WebSocket, event);
  }

  cut(code = 1006) {
    this.readyState = 3;
    this.onclose?.call(this as unknown as WebSocket, { code } as CloseEvent);
  }
}

const FLEET = { topic: "fleet", org: "acme" };
let wires: Wire[];
let ended: number;
let refused: number;

function started(): LiveFeed {
  return new LiveFeed({
    open: () => {
      const wire = new Wire();
      wires.push(wire);
      return wire;
    },
    onSessionEnded: () => ended++,
    onRefused: () => refused++,
    random: () => 1,
  });
}

const wire = () => wires.at(-1) as Wire;

beforeEach(() => {
  wires = [];
  ended = 0;
  refused = 0;
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
});

test("all watches share one socket and are sent when it opens", () => {
  const live = started();
  live.watch(FLEET);
  live.watch({ topic: "agent", org: "acme", of: "one" });
  assert.equal(wires.length, 1);
  assert.deepEqual(wire().said, []);
  wire().open();
  assert.deepEqual(wire().said, [
    { watch: 1, topic: "fleet", org: "acme" },
    { watch: 2, topic: "agent", org: "acme", of: "one" },
  ]);
  live.watch({ topic: "alerts", org: "acme" });
  assert.deepEqual(wire().said.at(-1), { watch: 3, topic: "alerts", org: "acme" });
});

test("frames reach their watch, and frames of an ended watch are ignored", () => {
  const live = started();
  const [fleet] = live.watch(FLEET);
  const [, end] = live.watch({ topic: "alerts", org: "acme" });
  wire().open();
  wire().tell({ id: 1, seq: 1, snapshot: { one: { state: "online" } } });
  assert.deepEqual([...fleet.rows.keys()], ["one"]);
  end();
  assert.deepEqual(wire().said.at(-1), { unwatch: 2 });
  wire().tell({ id: 2, seq: 1, snapshot: { a: {} } });
});

test("after a gap it watches again under a new number and ignores late frames", () => {
  const live = started();
  const [fleet] = live.watch(FLEET);
  wire().open();
  wire().tell({ id: 1, seq: 1, snapshot: { one: { n: 1 } } });
  wire().tell({ id: 1, seq: 3, rows: { one: { n: 3 } } });
  assert.deepEqual(wire().said.slice(1), [
    { unwatch: 1 },
    { watch: 2, topic: "fleet", org: "acme" },
  ]);
  wire().tell({ id: 1, seq: 4, rows: { one: { n: 4 } } });
  assert.deepEqual(fleet.rows.get("one"), { key: "one", n: 1 });
  assert.equal(wire().said.length, 3);
  wire().tell({ id: 2, seq: 1, snapshot: { one: { n: 5 } } });
  assert.deepEqual(fleet.rows.get("one"), { key: "one", n: 5 });
});

test("it reconnects with growing delays, which a success resets", () => {
  const live = started();
  const [fleet] = live.watch(FLEET);
  wire().open();
  wire().tell({ id: 1, seq: 1, snapshot: { one: {} } });
  const waits: number[] = [];
  for (let round = 0; round < 3; round++) {
    const before = wires.length;
    wire().cut();
    let waited = 0;
    while (wires.length === before) {
      mock.timers.tick(500);
      waited += 500;
    }
    waits.push(waited);
  }
  assert.deepEqual(waits, [1000, 2000, 4000]);
  wire().open();
  assert.deepEqual(wire().said, [{ watch: 1, topic: "fleet", org: "acme" }]);
  wire().tell({ id: 1, seq: 1, snapshot: { two: {} } });
  assert.deepEqual([...fleet.rows.keys()], ["two"]);
  wire().cut();
  mock.timers.tick(1000);
  assert.equal(wires.length, 5);
});

test("rows become stale during a long disconnection and live with the next snapshot", () => {
  const live = started();
  const [fleet] = live.watch(FLEET);
  wire().open();
  wire().tell({ id: 1, seq: 1, snapshot: {} });
  wire().cut();
  mock.timers.tick(1000);
  wire().cut();
  assert.equal(fleet.freshness.value, "live");
  mock.timers.tick(2000);
  assert.equal(fleet.freshness.value, "stale");
  mock.timers.tick(2000);
  wire().open();
  wire().tell({ id: 1, seq: 1, snapshot: {} });
  assert.equal(fleet.freshness.value, "live");
});

test("the end of the session closes the feed without a retry", () => {
  const live = started();
  live.watch(FLEET);
  wire().open();
  wire().cut(4401);
  mock.timers.tick(60_000);
  assert.equal(ended, 1);
  assert.equal(wires.length, 1);
});

test("a failed connection checks the session", () => {
  const live = started();
  live.watch(FLEET);
  wire().cut();
  assert.equal(refused, 1);
  mock.timers.tick(1000);
  wire().open();
  wire().cut();
  assert.equal(refused, 1);
});

test("after a server restart it waits at most five seconds", () => {
  const live = started();
  live.watch(FLEET);
  wire().open();
  wire().cut(1012);
  mock.timers.tick(4999);
  assert.equal(wires.length, 1);
  mock.timers.tick(1);
  assert.equal(wires.length, 2);
});

test("it does not reconnect without watches", () => {
  const live = started();
  const [, end] = live.watch(FLEET);
  wire().open();
  end();
  wire().cut();
  mock.timers.tick(60_000);
  assert.equal(wires.length, 1);
  assert.equal(live.state.value, "idle");
});

test("it reconnects immediately when the browser is online again", () => {
  const live = started();
  live.watch(FLEET);
  wire().open();
  wire().cut();
  live.reconnect();
  assert.equal(wires.length, 2);
  mock.timers.tick(60_000);
  assert.equal(wires.length, 2);
});

test("rows are stale since the last message when heartbeats are missing", () => {
  const live = started();
  const [fleet] = live.watch(FLEET);
  wire().open();
  wire().tell({ id: 1, seq: 1, snapshot: { one: {} } });
  for (let beat = 0; beat < 5; beat++) {
    mock.timers.tick(10_000);
    wire().tell({ heartbeat: 5 });
  }
  assert.equal(live.state.value, "live");
  assert.equal(live.staleSince.value, null);
  mock.timers.tick(SILENCE_TIMEOUT - 1);
  assert.equal(live.state.value, "live");
  mock.timers.tick(1);
  assert.equal(live.state.value, "waiting");
  assert.equal(wire().readyState, 3);
  assert.equal(fleet.freshness.value, "stale");
  assert.equal(live.staleSince.value, 50_000);
  mock.timers.tick(1000);
  wire().open();
  assert.equal(live.staleSince.value, 50_000);
  wire().tell({ id: 1, seq: 1, snapshot: { one: {} } });
  assert.equal(live.staleSince.value, null);
  assert.equal(fleet.freshness.value, "live");
});

test("a connection that does not open is closed and retried", () => {
  const live = started();
  live.watch(FLEET);
  mock.timers.tick(10_000);
  assert.equal(live.state.value, "waiting");
  mock.timers.tick(1000);
  assert.equal(wires.length, 2);
  assert.equal(refused, 0);
});

test("events of a closed socket are ignored", () => {
  const live = started();
  live.watch(FLEET);
  wire().open();
  const old = wire();
  mock.timers.tick(SILENCE_TIMEOUT);
  mock.timers.tick(1000);
  assert.equal(wires.length, 2);
  old.cut();
  old.tell({ id: 1, seq: 1, snapshot: {} });
  assert.equal(wires.length, 2);
  assert.equal(live.state.value, "connecting");
});
