/** The form of a rotation policy: its fields as texts, and where errors belong. Pure. */

import { ApiError } from "../lib/api";
import { formatCount, pluralize } from "../lib/format";
import type { RotationEvent, RotationPolicy } from "./api-types";

export type Schedule = "manual" | "interval" | "cron";

/** What channels can be told of, with its label. */
export const EVENTS: readonly (readonly [RotationEvent, string])[] = [
  ["failed", "Failed and undone"],
  ["stuck", "Stuck"],
  ["lagging", "Lagging applications"],
  ["rotated", "Rotated"],
];

const MAX_CHANNELS = 8; // of one policy
const CHANNEL_NAME = /^(?=.{1,64}$)[!-~](?:[ -~]*[!-~])?$/;

/** The fields of the form. */
export interface PolicyDraft {
  rotator: string;
  config: string;
  connection: string;
  schedule: Schedule;
  interval: string;
  cron: string;
  window: string;
  max_reads: string;
  grace: string;
  adoption_window: string;
  attempts: string;
  base: string;
  cap: string;
  enabled: boolean;
  /** One name on each line. */
  channels: string;
  events: readonly RotationEvent[];
}

const NEW: PolicyDraft = {
  rotator: "generated",
  config: "{}",
  connection: "",
  schedule: "manual",
  interval: "30d",
  cron: "0 3 * * 0",
  window: "1h",
  max_reads: "0",
  grace: "24h",
  adoption_window: "30d",
  attempts: "5",
  base: "30s",
  cap: "1h",
  enabled: true,
  channels: "",
  events: ["failed", "stuck", "lagging"],
};

const HOURS_OF_DAY = 24;

/** `720h0m0s` → `30d`, `1h30m0s` → `1h30m`. Other texts stay as they are. */
export function shortDuration(text: string): string {
  const parts = /^(?:(\d+)h)?(?:(\d+)m)?(\d+(?:\.\d+)?)s$/.exec(text);
  if (!parts) return text;
  const [hours, minutes, seconds] = [1, 2, 3].map(index => Number(parts[index] ?? 0)) as [
    number,
    number,
    number,
  ];
  if (hours && hours % HOURS_OF_DAY === 0 && !minutes && !seconds)
    return `${hours / HOURS_OF_DAY}d`;
  const units: [number, string][] = [
    [hours, "h"],
    [minutes, "m"],
    [seconds, "s"],
  ];
  const kept = units.filter(([count]) => count).map(([count, unit]) => `${count}${unit}`);
  return kept.join("") || "0s";
}

/** When a policy rotates, in words. */
export function describeSchedule(policy: RotationPolicy): string {
  const at = policy.interval
    ? `Every ${shortDuration(policy.interval)}`
    : policy.cron && `${policy.cron} (UTC), within ${shortDuration(policy.window)}`;
  const reads = policy.max_reads && `after ${pluralize(policy.max_reads, "read")}`;
  const when = [at, reads].filter(Boolean).join(", or ") || "on request only";
  return when.charAt(0).toUpperCase() + when.slice(1) + (policy.enabled ? "" : ", switched off");
}

/** Whose fetches end the grace period early, in words. */
export function describeWindow(policy: RotationPolicy): string {
  const window = shortDuration(policy.adoption_window);
  return window === "0s" ? "None: the grace period never ends early" : window;
}

/** Who is told of which events, in words. */
export function describeNotify({ notify }: RotationPolicy): string {
  return notify ? `${notify.channels.join(", ")}: ${notify.events.join(", ")}` : "Nobody";
}

export function draftOf(policy: RotationPolicy | null): PolicyDraft {
  if (!policy) return NEW;
  const { interval, cron, retry, notify } = policy;
  return {
    rotator: policy.rotator,
    config: JSON.stringify(policy.config, null, 2),
    connection: policy.connection,
    schedule: interval ? "interval" : cron ? "cron" : "manual",
    interval: interval ? shortDuration(interval) : NEW.interval,
    cron: cron || NEW.cron,
    window: shortDuration(policy.window),
    max_reads: `${policy.max_reads}`,
    grace: shortDuration(policy.grace),
    adoption_window: shortDuration(policy.adoption_window),
    attempts: `${retry.attempts}`,
    base: shortDuration(retry.base),
    cap: shortDuration(retry.cap),
    enabled: policy.enabled,
    channels: notify?.channels.join("\n") ?? "",
    events: notify?.events ?? NEW.events,
  };
}

/**
 * The policy of a draft. Fields of `before` that the form does not have stay. Throws `ApiError`
 * with the field, as the server would, for what cannot be sent.
 */
export function policyOf(draft: PolicyDraft, before: RotationPolicy | null): RotationPolicy {
  return {
    ...before,
    rotator: draft.rotator.trim(),
    config: parseConfig(draft.config),
    connection: draft.connection.trim(),
    enabled: draft.enabled,
    interval: draft.schedule === "interval" ? draft.interval.trim() : null,
    cron: draft.schedule === "cron" ? draft.cron.trim() : "",
    window: draft.window.trim(),
    max_reads: Number(draft.max_reads),
    grace: draft.grace.trim(),
    adoption_window: draft.adoption_window.trim(),
    retry: {
      attempts: Number(draft.attempts),
      base: draft.base.trim(),
      cap: draft.cap.trim(),
    },
    notify: parseNotify(draft),
  };
}

function parseConfig(text: string): RotationPolicy["config"] {
  try {
    return JSON.parse(text.trim() || "{}");
  } catch (error) {
    throw fieldError("config", `Not JSON: ${(error as SyntaxError).message}`);
  }
}

function parseNotify({ channels: text, events }: PolicyDraft): RotationPolicy["notify"] {
  const lines = text.split("\n").map(line => line.trim());
  const channels = [...new Set(lines.filter(Boolean))];
  if (!channels.length) return null;
  if (channels.length > MAX_CHANNELS)
    throw fieldError(
      "channels",
      `${formatCount(channels.length)} channels: a policy names at most ${MAX_CHANNELS}`,
    );
  const bad = channels.find(name => !CHANNEL_NAME.test(name));
  if (bad !== undefined)
    throw fieldError(
      "channels",
      `no channel can be named "${bad}": a name has at most 64 characters, all of them ASCII`,
    );
  if (!events.length)
    throw fieldError("events", "no event is chosen: choose one, or remove the channels");
  return { channels, events: [...events] };
}

function fieldError(field: keyof PolicyDraft, message: string): ApiError {
  return new ApiError(0, "rotation_policy_invalid", message, "", { field });
}

const BY_CODE: Record<string, keyof PolicyDraft> = {
  rotator_unknown: "rotator",
  rotator_config: "config",
  connection_denied: "connection",
};
const BY_FIELD: Record<string, keyof PolicyDraft> = {
  path: "connection",
  "retry.attempts": "attempts",
  "retry.base": "base",
  "retry.cap": "cap",
  notify: "channels",
  "notify.channels": "channels",
  "notify.events": "events",
};
/** Of an error that names its field in the message only. */
const PLACE = /at `\$\.([a-z_.]+)/;

/** The field of the form that an error is about. Null if it is about none. */
export function faultyField({ code, field, message }: ApiError): keyof PolicyDraft | null {
  const place = field || (PLACE.exec(message)?.[1] ?? "");
  const found = BY_CODE[code] ?? BY_FIELD[place] ?? place;
  return found in NEW ? (found as keyof PolicyDraft) : null;
}
