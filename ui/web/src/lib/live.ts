import { type ReadonlySignal, signal } from "@preact/signals";
import { backoff } from "./backoff";
import { Collection, type Frame } from "./collection";

/** What is watched: one keyed collection (docs/spec/live.md). */
export interface Wanted {
  topic: string;
  org: string;
  of?: string;
}

/** `idle`: nothing is watched. `waiting`: cut off, the next try comes by itself. */
export type LinkState = "idle" | "connecting" | "live" | "waiting";

/** As much of a WebSocket as is used here; a test brings its own. */
export type Socket = Pick<
  WebSocket,
  "send" | "close" | "readyState" | "onopen" | "onclose" | "onmessage"
>;

export interface Options {
  open: () => Socket;
  /** The session ended (close code 4401): nothing comes back by itself. */
  onEnd: () => void;
  /** It was not let in, and a browser cannot tell why: is there still a session? */
  onRefused: () => void;
  chance?: () => number;
}

/** Close code: the session is over. */
export const ENDED = 4401;
/** Close code: the server is about to restart. */
const RESTARTS = 1012;
const RESTART_WITHIN = 5000; // milliseconds
const STALE_AFTER = 3000; // milliseconds without a connection until rows are marked
const OPEN = 1;

interface Watch {
  /** Its number on this feed; another one after a gap. */
  id: number;
  wanted: Wanted;
  collection: Collection<object>;
}

/**
 * The live feed: one socket for all that a page watches, opened with the first watch.
 *
 * It comes back by itself after a cut, asks for everything anew after a gap, and marks what it shows
 * as stale while it is cut off for longer than a moment.
 */
export class Live {
  readonly #state = signal<LinkState>("idle");
  readonly #watches = new Map<number, Watch>();
  #socket: Socket | null = null;
  #next = 1;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #stale: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: Options) {}

  get state(): ReadonlySignal<LinkState> {
    return this.#state;
  }

  /** Begin to watch; the second value ends it. */
  watch<Row extends object>(wanted: Wanted): [Collection<Row>, () => void] {
    const collection = new Collection<Row>();
    const watch = { id: 0, wanted, collection: collection as unknown as Collection<object> };
    this.#begin(watch);
    if (!this.#socket && this.#state.peek() !== "waiting") this.#connect();
    return [collection, () => this.#unwatch(watch)];
  }

  /** Try now, as when the browser says that it is online again. */
  hurry(): void {
    if (this.#state.peek() !== "waiting") return;
    this.#failures = 0;
    this.#connect();
  }

  /** End everything, as after signing out. */
  stop(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#stale);
    const socket = this.#socket;
    this.#socket = null;
    this.#state.value = "idle";
    if (socket) {
      socket.onclose = null;
      socket.close();
    }
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
  }

  #opened(): void {
    clearTimeout(this.#stale);
    this.#stale = undefined;
    this.#state.value = "live";
    for (const watch of this.#watches.values()) this.#ask(watch);
  }

  #heard(text: string): void {
    const frame = JSON.parse(text) as Frame;
    const watch = this.#watches.get(frame.id);
    if (!watch) return; // it was let go a moment ago
    this.#failures = 0;
    if (watch.collection.take(frame)) return;
    this.#unwatch(watch); // what is still on its way belongs to the old number
    watch.collection.forget();
    this.#begin(watch);
  }

  #closed(code: number): void {
    const opened = this.#state.peek() === "live";
    this.#socket = null;
    for (const { collection } of this.#watches.values()) collection.forget();
    if (code === ENDED) {
      this.stop();
      this.options.onEnd();
      return;
    }
    if (!this.#watches.size) {
      this.#state.value = "idle";
      return;
    }
    if (!opened) this.options.onRefused();
    this.#state.value = "waiting";
    this.#stale ??= setTimeout(() => this.#mark(), STALE_AFTER);
    const bound = code === RESTARTS ? RESTART_WITHIN : backoff(this.#failures++);
    this.#retry = setTimeout(() => this.#connect(), bound * (this.options.chance ?? Math.random)());
  }

  #mark(): void {
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

  #ask({ id, wanted: { topic, org, of } }: Watch): void {
    this.#say({ watch: id, topic, org, ...(of === undefined ? {} : { of }) });
  }

  /** Before it is open nothing is said: then all watches are asked for at once. */
  #say(message: object): void {
    if (this.#socket?.readyState === OPEN) this.#socket.send(JSON.stringify(message));
  }
}
