import { type ReadonlySignal, signal } from "@preact/signals";
import { Collection, type Frame } from "./collection";

/** What is watched: one keyed collection (docs/spec/live.md). */
export interface WatchRequest {
  topic: string;
  org: string;
  of?: string;
}

/** `idle`: nothing is watched. `waiting`: cut off, the next try comes by itself. */
export type FeedState = "idle" | "connecting" | "live" | "waiting";

/** As much of a WebSocket as is used here; a test brings its own. */
export type FeedSocket = Pick<
  WebSocket,
  "send" | "close" | "readyState" | "onopen" | "onclose" | "onmessage"
>;

export interface FeedOptions {
  open: () => FeedSocket;
  /** The session ended (close code 4401): nothing comes back by itself. */
  onSessionEnded: () => void;
  /** It was not let in, and a browser cannot tell why: is there still a session? */
  onRefused: () => void;
  random?: () => number;
}

/** Close code: the session is over. */
export const CLOSE_SESSION_ENDED = 4401;
/** Close code: the server is about to restart. */
const CLOSE_RESTARTING = 1012;
const RESTART_DELAY = 5000; // milliseconds
const STALE_AFTER = 3000; // milliseconds without a connection until rows are marked
/** Milliseconds: the server sends something at least this often, a heartbeat if nothing else. */
const HEARTBEAT = 5000;
/** Milliseconds of silence after which the server counts as gone. */
export const SILENCE_TIMEOUT = 3 * HEARTBEAT;
const OPEN_TIMEOUT = 10_000; // milliseconds from the first try to an open connection
/** Close code of ours: the server was silent for too long. */
const CLOSE_SILENT = 4408;
const OPEN = 1;

interface Watch {
  /** Its number on this feed; another one after a gap. */
  id: number;
  request: WatchRequest;
  collection: Collection<object>;
}

/**
 * The live feed: one socket for all that a page watches, opened with the first watch.
 *
 * It comes back by itself after a cut, asks for everything anew after a gap, and marks what it shows
 * as stale while it is cut off for longer than a moment.
 */
export class LiveFeed {
  readonly #state = signal<FeedState>("idle");
  readonly #since = signal<number | null>(null);
  readonly #watches = new Map<number, Watch>();
  #socket: FeedSocket | null = null;
  #next = 1;
  #failures = 0;
  #heardAt: number | null = null;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #stale: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: FeedOptions) {}

  get state(): ReadonlySignal<FeedState> {
    return this.#state;
  }

  /** Unix milliseconds of the last word, while what is shown is older than it should be; else null. */
  get staleSince(): ReadonlySignal<number | null> {
    return this.#since;
  }

  /** Begin to watch; the second value ends it. */
  watch<Row extends object>(request: WatchRequest): [Collection<Row>, () => void] {
    const collection = new Collection<Row>();
    const watch = { id: 0, request, collection: collection as unknown as Collection<object> };
    this.#begin(watch);
    if (!this.#socket && this.#state.peek() !== "waiting") this.#connect();
    return [collection, () => this.#unwatch(watch)];
  }

  /** Try now, as when the browser says that it is online again. */
  reconnect(): void {
    if (this.#state.peek() !== "waiting") return;
    this.#failures = 0;
    this.#connect();
  }

  /** End everything, as after signing out. */
  stop(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#stale);
    this.#stale = undefined;
    this.#state.value = "idle";
    this.#since.value = null;
    this.#heardAt = null;
    this.#letGo();
  }

  /** Close the socket, if there is one, and hear no more of it. */
  #letGo(code = 1000, reason = ""): void {
    clearTimeout(this.#silence);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code, reason);
  }

  #connect(): void {
    clearTimeout(this.#retry);
    if (!this.#watches.size) return;
    this.#state.value = "connecting";
    const socket = this.options.open();
    this.#socket = socket;
    socket.onopen = () => this.#opened();
    socket.onmessage = event => this.#heard(String(event.data));
    socket.onclose = event => this.#closed(event.code);
    this.#expect(OPEN_TIMEOUT);
  }

  /** Something has to come within so many milliseconds. */
  #expect(within: number): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#missed(), within);
  }

  /** Nothing came: the connection is given up, whatever the browser thinks of it. */
  #missed(): void {
    this.#letGo(CLOSE_SILENT, "the server is silent");
    for (const { collection } of this.#watches.values()) collection.reset();
    this.#mark(); // the silence was longer than STALE_AFTER
    this.#again(retryDelay(this.#failures++));
  }

  #opened(): void {
    clearTimeout(this.#stale);
    this.#stale = undefined;
    this.#state.value = "live";
    this.#expect(SILENCE_TIMEOUT);
    for (const watch of this.#watches.values()) this.#ask(watch);
  }

  #heard(text: string): void {
    this.#heardAt = Date.now();
    this.#since.value = null;
    this.#expect(SILENCE_TIMEOUT);
    const frame = JSON.parse(text) as Frame;
    const watch = this.#watches.get(frame.id);
    if (!watch) return; // a heartbeat, or it was let go a moment ago
    this.#failures = 0;
    if (watch.collection.apply(frame)) return;
    this.#unwatch(watch); // what is still on its way belongs to the old number
    watch.collection.reset();
    this.#begin(watch);
  }

  #closed(code: number): void {
    const opened = this.#state.peek() === "live";
    clearTimeout(this.#silence);
    this.#socket = null;
    for (const { collection } of this.#watches.values()) collection.reset();
    if (code === CLOSE_SESSION_ENDED) {
      this.stop();
      this.options.onSessionEnded();
      return;
    }
    if (!opened && this.#watches.size) this.options.onRefused();
    this.#again(code === CLOSE_RESTARTING ? RESTART_DELAY : retryDelay(this.#failures++));
  }

  /** Come back by itself after a random part of so many milliseconds, if anything is watched. */
  #again(bound: number): void {
    if (!this.#watches.size) {
      this.#state.value = "idle";
      return;
    }
    this.#state.value = "waiting";
    this.#stale ??= setTimeout(() => this.#mark(), STALE_AFTER);
    this.#retry = setTimeout(() => this.#connect(), bound * (this.options.random ?? Math.random)());
  }

  #mark(): void {
    this.#since.value = this.#heardAt;
    for (const { collection } of this.#watches.values())
      if (collection.freshness.peek() === "live") collection.freshness.value = "stale";
  }

  #begin(watch: Watch): void {
    watch.id = this.#next++;
    this.#watches.set(watch.id, watch);
    this.#ask(watch);
  }

  #unwatch(watch: Watch): void {
    if (this.#watches.delete(watch.id)) this.#say({ unwatch: watch.id });
  }

  #ask({ id, request: { topic, org, of } }: Watch): void {
    this.#say({ watch: id, topic, org, ...(of === undefined ? {} : { of }) });
  }

  /** Before it is open nothing is said: then all watches are asked for at once. */
  #say(message: object): void {
    if (this.#socket?.readyState === OPEN) this.#socket.send(JSON.stringify(message));
  }
}

const FIRST_RETRY = 1000; // milliseconds
const LONGEST_RETRY = 30_000;

/**
 * The longest wait in milliseconds after so many failures in a row; wait a random part of it, so
 * that browsers do not all come back in one moment (docs/spec/live.md).
 */
export function retryDelay(failures: number): number {
  return Math.min(LONGEST_RETRY, FIRST_RETRY * 2 ** Math.min(failures, 16));
}
