import { signal } from "@preact/signals";
import { formatTimestamp } from "./format";
import { getStored, setStored } from "./storage";

/** The zone of exact times: the reader's own or UTC. */
export type TimeZone = "local" | "utc";

const KEY = "freehold-zone";

export const timeZone = signal<TimeZone>(getStored(KEY) === "utc" ? "utc" : "local");

export function setTimeZone(chosen: TimeZone): void {
  timeZone.value = chosen;
  setStored(KEY, chosen);
}

/** Formats Unix milliseconds in the chosen zone. */
export function formatTime(at: number): string {
  return formatTimestamp(at, timeZone.value);
}
