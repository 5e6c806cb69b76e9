import { type Signal, signal } from "@preact/signals";
import { ApiError } from "./api";

/** One message of the live feed about one watch (docs/spec/live.md). */
export interface Frame {
  id: number;
  seq: number;
  /** All there is, or a piece of it with `more`. */
  snapshot?: Record<string, object>;
  more?: boolean;
  /** The columns that changed; null: the row is gone. */
  rows?: Record<string, object | null>;
  /** The watch is refused and over. */
  error?: { code: string; message: string };
}

/** `loading`: no snapshot yet. `stale`: rows are what was last heard, the feed is cut. */
export type Freshness = "loading" | "live" | "stale";

/** A row and the key that it has in its collection. */
export type WithKey<Row> = Row & { key: string };

const RENDER_INTERVAL = 100; // milliseconds between two drawings; the server gathers for 50, people wait 250

/**
 * What one watch shows: rows by key, and a version that grows with each change.
 *
 * Read `version.value` in a component and it is drawn anew when rows change. A row that changes is
 * a new object; one that stays is the same.
 */
export class Collection<Row extends object> {
  readonly rows = new Map<string, WithKey<Row>>();
  readonly version = signal(0);
  readonly freshness: Signal<Freshness> = signal("loading");
  /** Why there is nothing: no such thing, not allowed. */
  readonly error: Signal<ApiError | null> = signal(null);
  #seq = -1;
  #pieces: Map<string, WithKey<Row>> | null = null;
  #drawn = 0;
  #due: ReturnType<typeof setTimeout> | undefined;

  /** Take the next frame. False: one is missing in between, a new snapshot is needed. */
  apply(frame: Frame): boolean {
    if (frame.error) {
      this.error.value = new ApiError(0, frame.error.code, frame.error.message);
      return true;
    }
    if (frame.snapshot) this.#gather(frame.snapshot as Record<string, Row>, frame);
    else if (frame.seq !== this.#seq + 1 || this.#pieces) return false;
    else this.#change((frame.rows ?? {}) as Record<string, Partial<Row> | null>);
    this.#seq = frame.seq;
    return true;
  }

  /** Nothing is known of before: the next frame has to be a snapshot. */
  reset(): void {
    this.#seq = -1;
    this.#pieces = null;
  }

  /** Rows in the order of arrival. */
  list(): WithKey<Row>[] {
    return [...this.rows.values()];
  }

  #gather(piece: Record<string, Row>, frame: Frame): void {
    // A browser that fell behind gets another snapshot, perhaps in the middle of the one before.
    const begun = this.#pieces;
    const again = !begun || Object.keys(piece).some(key => begun.has(key));
    const pieces = again ? new Map<string, WithKey<Row>>() : begun;
    for (const [key, row] of Object.entries(piece)) pieces.set(key, { ...row, key });
    this.#pieces = frame.more ? pieces : null;
    if (frame.more) return;
    this.rows.clear();
    for (const [key, row] of pieces) this.rows.set(key, row);
    this.error.value = null;
    this.freshness.value = "live";
    this.#draw();
  }

  #change(changes: Record<string, Partial<Row> | null>): void {
    for (const [key, columns] of Object.entries(changes)) {
      if (columns === null) this.rows.delete(key);
      else this.rows.set(key, { ...this.rows.get(key), ...columns, key } as WithKey<Row>);
    }
    this.#soon();
  }

  /** At once after a pause, else when it is time again: a busy fleet changes at every moment. */
  #soon(): void {
    if (this.#due !== undefined) return;
    const wait = this.#drawn + RENDER_INTERVAL - performance.now();
    if (wait <= 0) this.#draw();
    else this.#due = setTimeout(() => this.#draw(), wait);
  }

  #draw(): void {
    clearTimeout(this.#due);
    this.#due = undefined;
    this.#drawn = performance.now();
    this.version.value++;
  }
}
