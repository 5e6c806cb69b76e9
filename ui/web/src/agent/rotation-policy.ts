/** The form of a rotation policy: its fields as texts, and where errors belong. Pure. */

import type { ApiError } from "../lib/api";
import type { RotationPolicy } from "./api-types";

export type Schedule = "manual" | "interval" | "cron";

/** The fields of the form. */
export interface PolicyDraft {
  rotator: string;
  config: string;
  connection: string;
  schedule: Schedule;
  interval: string;
  cron: string;
  window: string;
  grace: string;
  attempts: string;
  base: string;
  cap: string;
  enabled: boolean;
}

const NEW: PolicyDraft = {
  rotator: "generated",
  config: "{}",
  connection: "",
  schedule: "manual",
  interval: "30d",
  cron: "0 3 * * 0",
  window: "1h",
  grace: "24h",
  attempts: "5",
  base: "30s",
  cap: "1h",
  enabled: true,
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
  const when = policy.interval
    ? `Every ${shortDuration(policy.interval)}`
    : policy.cron
      ? `${policy.cron} (UTC), within ${shortDuration(policy.window)}`
      : "On request only";
  return policy.enabled ? when : `${when}, switched off`;
}

export function draftOf(policy: RotationPolicy | null): PolicyDraft {
  if (!policy) return NEW;
  const { interval, cron, retry } = policy;
  return {
    rotator: policy.rotator,
    config: JSON.stringify(policy.config, null, 2),
    connection: policy.connection,
    schedule: interval ? "interval" : cron ? "cron" : "manual",
    interval: interval ? shortDuration(interval) : NEW.interval,
    cron: cron || NEW.cron,
    window: shortDuration(policy.window),
    grace: shortDuration(policy.grace),
    attempts: `${retry.attempts}`,
    base: shortDuration(retry.base),
    cap: shortDuration(retry.cap),
    enabled: policy.enabled,
  };
}

/**
 * The policy of a draft. Fields of `before` that the form does not have stay. Throws `SyntaxError`
 * if the settings are not JSON.
 */
export function policyOf(draft: PolicyDraft, before: RotationPolicy | null): RotationPolicy {
  return {
    ...before,
    rotator: draft.rotator.trim(),
    config: JSON.parse(draft.config.trim() || "{}"),
    connection: draft.connection.trim(),
    enabled: draft.enabled,
    interval: draft.schedule === "interval" ? draft.interval.trim() : null,
    cron: draft.schedule === "cron" ? draft.cron.trim() : "",
    window: draft.window.trim(),
    grace: draft.grace.trim(),
    retry: {
      attempts: Number(draft.attempts),
      base: draft.base.trim(),
      cap: draft.cap.trim(),
    },
  };
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
};

/** The field of the form that an error is about. Null if it is about none. */
export function faultyField({ code, field }: ApiError): keyof PolicyDraft | null {
  const found = BY_CODE[code] ?? BY_FIELD[field] ?? field;
  return found in NEW ? (found as keyof PolicyDraft) : null;
}
