import type { JSX } from "preact";
import { formatCount, humanize } from "../lib/format";
import "./badge.css";

export type Tone = "good" | "warn" | "bad" | "info" | "muted";

/** Tone, shape and label of a status. The shape makes it readable without colour. */
type StatusStyle = [Tone, Shape, string?];
type Shape = "full" | "half" | "ring" | "cross" | "check" | "bang" | "bar" | "arrow";

const STATUS_STYLES: Record<string, StatusStyle> = {
  online: ["good", "full"],
  degraded: ["warn", "bang"],
  late: ["warn", "half"],
  partial: ["warn", "half"],
  offline: ["bad", "cross"],
  unknown: ["muted", "ring", "Never seen"],
  pending: ["info", "ring"],
  active: ["good", "full"],
  good: ["good", "check"],
  unproven: ["warn", "ring"],
  off: ["muted", "bar"],
  none: ["muted", "bar", "No policies"],
  failing: ["warn", "half"],
  overdue: ["warn", "bang"],
  stuck: ["bad", "bang"],
  locked: ["bad", "bar"],
  retired: ["muted", "bar"],
  applied: ["good", "check"],
  wanted: ["info", "arrow", "Pending"],
  failed: ["bad", "bang"],
  not_issued: ["bad", "bang", "Unknown"],
  running: ["info", "arrow"],
  halted: ["warn", "bar"],
  done: ["good", "check"],
  rolled_back: ["muted", "cross"],
  info: ["info", "ring"],
  warning: ["warn", "bang"],
  critical: ["bad", "bang"],
  firing: ["bad", "bang"],
  acknowledged: ["info", "check"],
  resolved: ["good", "check"],
  ok: ["good", "check"],
  denied: ["bad", "bar"],
  fork: ["bad", "bang"],
  rollback: ["bad", "bang"],
  serving: ["good", "full"],
  sealed: ["bad", "bar"],
  refusing: ["bad", "cross"],
  met: ["good", "check"],
  partly: ["warn", "half", "Partially met"],
  gap: ["bad", "cross"],
  not_evidenced: ["muted", "ring", "Not evidenced"],
  waiting: ["info", "arrow", "In progress"],
  ready: ["good", "check"],
  deleted: ["warn", "bar"],
  destroyed: ["muted", "cross"],
  empty: ["muted", "ring", "No version"],
  disabled: ["bad", "bar"],
  revoked: ["muted", "bar"],
  never: ["muted", "ring", "Not verified"],
  whole: ["good", "check", "Intact"],
  damaged: ["bad", "bang"],
};

const SHAPES: Record<Shape, JSX.Element> = {
  full: <circle cx="5" cy="5" r="4" fill="currentColor" />,
  half: (
    <>
      <circle cx="5" cy="5" r="3.4" fill="none" stroke="currentColor" stroke-width="1.2" />
      <path d="M5 1.6a3.4 3.4 0 0 1 0 6.8z" fill="currentColor" />
    </>
  ),
  ring: <circle cx="5" cy="5" r="3.4" fill="none" stroke="currentColor" stroke-width="1.4" />,
  cross: <path d="M1.8 1.8l6.4 6.4M8.2 1.8L1.8 8.2" stroke="currentColor" stroke-width="1.8" />,
  check: <path d="M1.2 5.2l2.6 2.7L8.8 2.3" fill="none" stroke="currentColor" stroke-width="1.8" />,
  bang: <path d="M5 .8v5.4M5 7.4v1.8" stroke="currentColor" stroke-width="2" />,
  bar: <path d="M2.2 1.6h2v6.8h-2zM5.8 1.6h2v6.8h-2z" fill="currentColor" />,
  arrow: <path d="M1 5h7M5 2l3 3-3 3" fill="none" stroke="currentColor" stroke-width="1.6" />,
};

interface StatusBadgeProps {
  /** `online`, `failed`, …; an unknown status is shown by its name. */
  status: string;
  /** With a tinted background, for page headers. */
  filled?: boolean;
  label?: string;
}

/** A status as shape, colour and label. */
export function StatusBadge({ status, filled = false, label }: StatusBadgeProps) {
  const [tone, shape, word] = STATUS_STYLES[status] ?? ["muted", "ring"];
  return (
    <span class={`badge tone-${tone} ${filled ? "filled" : "plain"}`}>
      <svg width="10" height="10" viewBox="0 0 10 10" aria-hidden="true">
        {SHAPES[shape]}
      </svg>
      <span class="badge-text">{label ?? word ?? humanize(status)}</span>
    </span>
  );
}

/** The status of an agent's policy bundle. Here `unknown` means that the bundle was not issued. */
export function PolicyStatusBadge({ status }: { status: string }) {
  return <StatusBadge status={status === "unknown" ? "not_issued" : status} />;
}

/** The state of a vault's backups; a dash while none was reported. */
export function BackupBadge({ state, certified }: { state: string; certified: boolean }) {
  if (!state) return <span class="muted">–</span>;
  if (state === "good" && !certified)
    return <StatusBadge status="unproven" label="No certificate" />;
  return <StatusBadge status={state} />;
}

/** How the rotations of a vault do, with the number that are owed; a dash without a report. */
export function RotationBadge({ state, owed }: { state: string; owed: number }) {
  if (!state) return <span class="muted">–</span>;
  const label = owed ? `${formatCount(owed)} ${state}` : undefined;
  return <StatusBadge status={state} label={label} />;
}

/** The tone of a status, for charts and bars beside it. */
export function toneOf(state: string): Tone {
  return STATUS_STYLES[state]?.[0] ?? "muted";
}

export function TagList({ tags, max = 3 }: { tags: readonly string[]; max?: number }) {
  const more = tags.length - max;
  return (
    <span class="tags">
      {tags.slice(0, max).map(tag => (
        <span class="tag" key={tag} title={tag}>
          {tag}
        </span>
      ))}
      {more > 0 && (
        <span class="tag" title={tags.slice(max).join(", ")}>
          +{more}
        </span>
      )}
    </span>
  );
}
