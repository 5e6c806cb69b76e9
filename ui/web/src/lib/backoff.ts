const FIRST_RETRY = 1000; // milliseconds
const LONGEST_RETRY = 30_000;

/**
 * The longest wait in milliseconds after so many failures in a row; wait a random part of it, so
 * that browsers do not all come back in one moment (docs/spec/live.md).
 */
export function retryDelay(failures: number): number {
  return Math.min(LONGEST_RETRY, FIRST_RETRY * 2 ** Math.min(failures, 16));
}
