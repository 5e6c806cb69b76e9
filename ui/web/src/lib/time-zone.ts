import { signal } from "@preact/signals";
import { formatTimestamp } from "./format";
import { getStored, setStored } from "./storage";

/** In which zone exact times are shown: the reader's own, or the one that logs of machines have. */
export type TimeZone = "local" | "utc";

const KEY = "freehold-zone";

export const timeZone = signal<TimeZone>(getStored(KEY) === "utc" ? "utc" : "local");

export function setTimeZone(chosen: TimeZone): void {
  timeZone.value = chosen;
  setStored(KEY, chosen);
}

/** Day and time of Unix milliseconds as the reader wants them. */
export function formatTime(at: number): string {
  return formatTimestamp(at, timeZone.value);
}
