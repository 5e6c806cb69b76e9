import type { ComponentChildren } from "preact";
import { formatCount } from "../lib/format";
import type { Tone } from "./badge";
import "./progress.css";

interface Segment {
  tone: Tone;
  value: number;
}

interface ProgressBarProps {
  /** Accessible name. */
  label: string;
  /** Parts of `total`, drawn in sequence. */
  segments: readonly Segment[];
  total: number;
}

/** A progress bar of several segments. */
export function ProgressBar({ label, segments, total }: ProgressBarProps) {
  const done = segments.reduce((sum, { value }) => sum + value, 0);
  return (
    <div
      class="progress"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={total}
      aria-valuenow={done}
      aria-valuetext={`${formatCount(done)} of ${formatCount(total)}`}
    >
      {segments.map(({ tone, value }) => (
        <span
          key={tone}
          class={`tone-${tone}`}
          style={{ width: `${total ? (100 * value) / total : 0}%` }}
        />
      ))}
    </div>
  );
}

interface Bar {
  name: string;
  label?: ComponentChildren;
  value: number;
}

/** Labelled bars, largest first. */
export function BarList({ bars, total }: { bars: readonly Bar[]; total: number }) {
  return (
    <ul class="bars">
      {bars.map(({ name, label, value }) => (
        <li key={name}>
          <span class="bar-name">
            <span>{label ?? name}</span>
            <span class="muted">{formatCount(value)}</span>
          </span>
          <ProgressBar label={name} segments={[{ tone: "info", value }]} total={total} />
        </li>
      ))}
    </ul>
  );
}
