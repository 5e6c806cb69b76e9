import { signal } from "@preact/signals";
import { moment } from "./format";
import { recall, remember } from "./storage";

/** In which zone exact times are shown: the reader's own, or the one that logs of machines have. */
export type Zone = "local" | "utc";

const KEY = "freehold-zone";

export const zone = signal<Zone>(recall(KEY) === "utc" ? "utc" : "local");

export function chooseZone(chosen: Zone): void {
  zone.value = chosen;
  remember(KEY, chosen);
}

/** Day and time of Unix milliseconds as the reader wants them. */
export function shownMoment(at: number): string {
  return moment(at, zone.value);
}
