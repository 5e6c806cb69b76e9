/** Formats numbers, sizes and times. Pure: `now` is an argument. */

const UNITS = ["", "k", "M", "G", "T"];
const BYTES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Three significant digits with an SI prefix: `999`, `1.2k`, `12.3k`, `0.04`; `–` for none. */
export function formatCompact(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size > 0 && size < 1) return trim(value.toFixed(size < 0.1 ? 3 : 2));
  const step = scale(size, 1000, UNITS.length);
  const scaled = value / 1000 ** step;
  return trim(scaled.toFixed(Math.abs(scaled) < 100 ? 1 : 0)) + UNITS[step];
}

/** All digits in groups of three: `10,000`. */
export function formatCount(value: number | null | undefined): string {
  return value == null ? "–" : value.toLocaleString("en-US");
}

/** `1.5 MiB`. */
export function formatBytes(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return "–";
  const step = scale(Math.abs(value), 1024, BYTES.length);
  const scaled = value / 1024 ** step;
  return `${trim(scaled.toFixed(step && scaled < 100 ? 1 : 0))} ${BYTES[step]}`;
}

/** Milliseconds as `0.8 ms`, `340 ms`, `1.2 s`. */
export function formatMillis(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return "–";
  if (value >= 1000) return `${trim((value / 1000).toFixed(1))} s`;
  return `${trim(value.toFixed(value < 10 ? 1 : 0))} ms`;
}

/** A fraction of 1 as `99.95 %`. */
export function formatPercent(share: number | null | undefined): string {
  if (share == null || !Number.isFinite(share)) return "–";
  const isNearAnEnd = share > 0.99 || share < 0.01; // the second digit matters near 0 and 100 %
  return `${trim((share * 100).toFixed(isNearAnEnd ? 2 : 1))} %`;
}

const STEPS: [number, string][] = [
  [86_400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

/** Seconds in their largest unit: `42 s`, `3 min`, `5 h`, `12 d`. */
export function formatDuration(seconds: number): string {
  const size = Math.max(0, Math.round(seconds));
  const [unit, name] = STEPS.find(([step]) => size >= step) ?? [1, "s"];
  return `${Math.floor(size / unit)} ${name}`;
}

/** `at` relative to `now` (both Unix milliseconds): `now`, `42 s ago`, `in 3 h`. */
export function formatRelative(at: number, now: number): string {
  const seconds = (now - at) / 1000;
  if (Math.abs(seconds) < 1.5) return "now";
  return seconds > 0 ? `${formatDuration(seconds)} ago` : `in ${formatDuration(-seconds)}`;
}

/** Date and time, the same in every locale: `2026-11-24 21:03:00`, with a Z in UTC. */
export function formatTimestamp(at: number, zone: "local" | "utc" = "local"): string {
  if (zone === "utc") return `${new Date(at).toISOString().slice(0, 19).replace("T", " ")}Z`;
  const day = new Date(at);
  const two = (value: number) => String(value).padStart(2, "0");
  const date = [day.getFullYear(), two(day.getMonth() + 1), two(day.getDate())].join("-");
  return `${date} ${[day.getHours(), day.getMinutes(), day.getSeconds()].map(two).join(":")}`;
}

/** RFC 3339 (REST) or Unix seconds (live feed). Empty and 0 mean none. */
export type Instant = string | number | null | undefined;

/** Unix milliseconds. Null for none. */
export function toMillis(at: Instant): number | null {
  if (at == null || at === "" || at === 0) return null;
  const result = typeof at === "number" ? at * 1000 : Date.parse(at);
  return Number.isNaN(result) ? null : result;
}

/** `rolled_back` → `Rolled back`. */
export function humanize(name: string): string {
  const plain = name.replaceAll(/[_.-]+/g, " ").trim();
  return plain.charAt(0).toUpperCase() + plain.slice(1);
}

/**
 * The actor of an audit record. Records without actor and address are of the control plane itself.
 */
export function actorName({ actor, ip }: { actor: string; ip: string }): string {
  return actor || (ip ? "Not signed in" : "Control plane");
}

/** `pluralize(2, "agent")` is `2 agents`. */
export function pluralize(number: number, noun: string, several = `${noun}s`): string {
  return `${formatCount(number)} ${number === 1 ? noun : several}`;
}

function scale(size: number, base: number, most: number): number {
  let step = 0;
  for (let left = size; left >= base && step < most - 1; left /= base) step++;
  return step;
}

function trim(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
