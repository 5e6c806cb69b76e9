import { type ReadonlySignal, signal } from "@preact/signals";
import { Collection, type Frame } from "./collection";

/** The collection to watch (docs/spec/live.md). */
export interface WatchRequest {
  topic: string;
  org: string;
  of?: string;
}

/** `idle`: nothing is watched. `waiting`: disconnected, a retry is scheduled. */
export type FeedState = "idle" | "connecting" | "live" | "waiting";

/** The part of WebSocket that is used. Tests replace it. */
export type FeedSocket = Pick<
  WebSocket,
  "send" | "close" | "readyState" | "onopen" | "onclose" | "onmessage"
>;

export interface FeedOptions {
  open: () => FeedSocket;
  /** Called when the server closed the feed because the session ended. There is no retry. */
  onSessionEnded: () => void;
  /** Called when a connection fails. A browser does not say why, so the session may have ended. */
  onRefused: () => void;
  random?: () => number;
}

/** Close code: the session has ended. */
export const CLOSE_SESSION_ENDED = 4401;
/** Close code: the server is restarting. */
const CLOSE_RESTARTING = 1012;
const RESTART_DELAY = 5000; // milliseconds
const STALE_AFTER = 3000; // milliseconds without a connection after which rows are stale
/** Milliseconds: the server sends at least a heartbeat this often. */
const HEARTBEAT = 5000;
/** Milliseconds without a message after which the connection counts as lost. */
export const SILENCE_TIMEOUT = 3 * HEARTBEAT;
const OPEN_TIMEOUT = 10_000; // milliseconds
/** Our close code: the server was silent for too long. */
const CLOSE_SILENT = 4408;
const OPEN = 1;

interface Watch {
  /** The number of the watch on the feed. It changes after a gap. */
  id: number;
  request: WatchRequest;
  collection: Collection<object>;
}

/**
 * The live feed: one WebSocket for all watches of a page, opened with the first.
 *
 * It reconnects after a failure, watches again after a gap, and marks rows as stale during a longer
 * disconnection.
 */
export class LiveFeed {
  readonly #state = signal<FeedState>("idle");
  readonly #staleSince = signal<number | null>(null);
  readonly #watches = new Map<number, Watch>();
  #socket: FeedSocket | null = null;
  #nextId = 1;
  #failures = 0;
  #lastMessageAt: number | null = null;
  #silenceTimer: ReturnType<typeof setTimeout> | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #staleTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: FeedOptions) {}

  get state(): ReadonlySignal<FeedState> {
    return this.#state;
  }

  /** Unix milliseconds of the last message while the rows are stale; else null. */
  get staleSince(): ReadonlySignal<number | null> {
    return this.#staleSince;
  }

  /** Start a watch. The second value ends it. */
  watch<Row extends object>(request: WatchRequest): [Collection<Row>, () => void] {
    const collection = new Collection<Row>();
    const watch = { id: 0, request, collection: collection as unknown as Collection<object> };
    this.#subscribe(watch);
    if (!this.#socket && this.#state.peek() !== "waiting") this.#connect();
    return [collection, () => this.#unwatch(watch)];
  }

  /** Retry immediately, for example when the browser is online again. */
  reconnect(): void {
    if (this.#state.peek() !== "waiting") return;
    this.#failures = 0;
    this.#connect();
  }

  /** Close the connection, for example after signing out. */
  stop(): void {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#staleTimer);
    this.#staleTimer = undefined;
    this.#state.value = "idle";
    this.#staleSince.value = null;
    this.#lastMessageAt = null;
    this.#closeSocket();
  }

  /** Close the socket and ignore its later events. */
  #closeSocket(code = 1000, reason = ""): void {
    clearTimeout(this.#silenceTimer);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code, reason);
  }

  #connect(): void {
    clearTimeout(this.#retryTimer);
    if (!this.#watches.size) return;
    this.#state.value = "connecting";
    const socket = this.options.open();
    this.#socket = socket;
    socket.onopen = () => this.#onOpen();
    socket.onmessage = event => this.#onMessage(String(event.data));
    socket.onclose = event => this.#onClose(event.code);
    this.#resetSilenceTimer(OPEN_TIMEOUT);
  }

  /** Give the connection up if nothing arrives within so many milliseconds. */
  #resetSilenceTimer(within: number): void {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#onSilence(), within);
  }

  /** Reconnect, even if the browser considers the connection open. */
  #onSilence(): void {
    this.#closeSocket(CLOSE_SILENT, "the server is silent");
    for (const { collection } of this.#watches.values()) collection.reset();
    this.#markStale(); // the silence was longer than STALE_AFTER
    this.#scheduleReconnect(retryDelay(this.#failures++));
  }

  #onOpen(): void {
    clearTimeout(this.#staleTimer);
    this.#staleTimer = undefined;
    this.#state.value = "live";
    this.#resetSilenceTimer(SILENCE_TIMEOUT);
    for (const watch of this.#watches.values()) this.#sendWatch(watch);
  }

  #onMessage(text: string): void {
    this.#lastMessageAt = Date.now();
    this.#staleSince.value = null;
    this.#resetSilenceTimer(SILENCE_TIMEOUT);
    const frame = JSON.parse(text) as Frame;
    const watch = this.#watches.get(frame.id);
    if (!watch) return; // a heartbeat, or a watch that has just ended
    this.#failures = 0;
    if (watch.collection.apply(frame)) return;
    this.#unwatch(watch); // frames in flight belong to the old number
    watch.collection.reset();
    this.#subscribe(watch);
  }

  #onClose(code: number): void {
    const opened = this.#state.peek() === "live";
    clearTimeout(this.#silenceTimer);
    this.#socket = null;
    for (const { collection } of this.#watches.values()) collection.reset();
    if (code === CLOSE_SESSION_ENDED) {
      this.stop();
      this.options.onSessionEnded();
      return;
    }
    if (!opened && this.#watches.size) this.options.onRefused();
    this.#scheduleReconnect(
      code === CLOSE_RESTARTING ? RESTART_DELAY : retryDelay(this.#failures++),
    );
  }

  /** Reconnect after a random part of so many milliseconds, if anything is watched. */
  #scheduleReconnect(bound: number): void {
    if (!this.#watches.size) {
      this.#state.value = "idle";
      return;
    }
    this.#state.value = "waiting";
    this.#staleTimer ??= setTimeout(() => this.#markStale(), STALE_AFTER);
    this.#retryTimer = setTimeout(
      () => this.#connect(),
      bound * (this.options.random ?? Math.random)(),
    );
  }

  #markStale(): void {
    this.#staleSince.value = this.#lastMessageAt;
    for (const { collection } of this.#watches.values())
      if (collection.freshness.peek() === "live") collection.freshness.value = "stale";
  }

  #subscribe(watch: Watch): void {
    watch.id = this.#nextId++;
    this.#watches.set(watch.id, watch);
    this.#sendWatch(watch);
  }

  #unwatch(watch: Watch): void {
    if (this.#watches.delete(watch.id)) this.#send({ unwatch: watch.id });
  }

  #sendWatch({ id, request: { topic, org, of } }: Watch): void {
    this.#send({ watch: id, topic, org, ...(of === undefined ? {} : { of }) });
  }

  /** Messages before the connection opens are dropped: `#onOpen` sends all watches. */
  #send(message: object): void {
    if (this.#socket?.readyState === OPEN) this.#socket.send(JSON.stringify(message));
  }
}

const FIRST_RETRY = 1000; // milliseconds
const LONGEST_RETRY = 30_000;

/**
 * The longest delay in milliseconds before the next retry. Wait a random part of it, so that
 * browsers do not reconnect at the same time (docs/spec/live.md).
 */
export function retryDelay(failures: number): number {
  return Math.min(LONGEST_RETRY, FIRST_RETRY * 2 ** Math.min(failures, 16));
}
