const FIRST = 1000; // milliseconds
const MOST = 30_000;

/**
 * The longest wait in milliseconds after so many failures in a row; wait a random part of it, so
 * that browsers do not all come back in one moment (docs/spec/live.md).
 */
export function backoff(failures: number): number {
  return Math.min(MOST, FIRST * 2 ** Math.min(failures, 16));
}
