import { type Signal, signal } from "@preact/signals";
import { ApiError } from "./api";

/** A message of the live feed for one watch (docs/spec/live.md). */
export interface Frame {
  id: number;
  seq: number;
  /** All rows, or one part of them with `more`. */
  snapshot?: Record<string, object>;
  more?: boolean;
  /** Changed columns by key. Null removes the row. */
  rows?: Record<string, object | null>;
  /** The watch was refused and has ended. */
  error?: { code: string; message: string };
}

/** `loading`: no snapshot yet. `stale`: the feed is disconnected and the rows are old. */
export type Freshness = "loading" | "live" | "stale";

export type WithKey<Row> = Row & { key: string };

const RENDER_INTERVAL = 100; // milliseconds between two renders; the server batches for 50

/**
 * The rows of one watch, by key.
 *
 * A component that reads `version.value` renders again when rows change. Changed rows are new
 * objects; others keep their identity.
 */
export class Collection<Row extends object> {
  readonly rows = new Map<string, WithKey<Row>>();
  readonly version = signal(0);
  readonly freshness: Signal<Freshness> = signal("loading");
  /** Why the watch was refused. */
  readonly error: Signal<ApiError | null> = signal(null);
  #seq = -1;
  #partialSnapshot: Map<string, WithKey<Row>> | null = null;
  #renderedAt = 0;
  #renderTimer: ReturnType<typeof setTimeout> | undefined;

  /** Apply the next frame. False if a frame is missing and a new snapshot is needed. */
  apply(frame: Frame): boolean {
    if (frame.error) {
      this.error.value = new ApiError(0, frame.error.code, frame.error.message);
      return true;
    }
    if (frame.snapshot) this.#applySnapshot(frame.snapshot as Record<string, Row>, frame);
    else if (frame.seq !== this.#seq + 1 || this.#partialSnapshot) return false;
    else this.#applyChanges((frame.rows ?? {}) as Record<string, Partial<Row> | null>);
    this.#seq = frame.seq;
    return true;
  }

  /** Expect a snapshot next. */
  reset(): void {
    this.#seq = -1;
    this.#partialSnapshot = null;
  }

  /** Rows in insertion order. */
  list(): WithKey<Row>[] {
    return [...this.rows.values()];
  }

  #applySnapshot(piece: Record<string, Row>, frame: Frame): void {
    // A slow browser may get a new snapshot in the middle of the previous one.
    const partial = this.#partialSnapshot;
    const again = !partial || Object.keys(piece).some(key => partial.has(key));
    const pieces = again ? new Map<string, WithKey<Row>>() : partial;
    for (const [key, row] of Object.entries(piece)) pieces.set(key, { ...row, key });
    this.#partialSnapshot = frame.more ? pieces : null;
    if (frame.more) return;
    this.rows.clear();
    for (const [key, row] of pieces) this.rows.set(key, row);
    this.error.value = null;
    this.freshness.value = "live";
    this.#render();
  }

  #applyChanges(changes: Record<string, Partial<Row> | null>): void {
    for (const [key, columns] of Object.entries(changes)) {
      if (columns === null) this.rows.delete(key);
      else this.rows.set(key, { ...this.rows.get(key), ...columns, key } as WithKey<Row>);
    }
    this.#scheduleRender();
  }

  /** Render immediately after a pause, else at the next interval. */
  #scheduleRender(): void {
    if (this.#renderTimer !== undefined) return;
    const wait = this.#renderedAt + RENDER_INTERVAL - performance.now();
    if (wait <= 0) this.#render();
    else this.#renderTimer = setTimeout(() => this.#render(), wait);
  }

  #render(): void {
    clearTimeout(this.#renderTimer);
    this.#renderTimer = undefined;
    this.#renderedAt = performance.now();
    this.version.value++;
  }
}
