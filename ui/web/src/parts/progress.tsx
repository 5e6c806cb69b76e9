import type { ComponentChildren } from "preact";
import { count } from "../lib/format";
import type { Tone } from "./badge";
import "./progress.css";

interface Share {
  tone: Tone;
  value: number;
}

interface ProgressProps {
  /** What moves on, for screen readers. */
  label: string;
  /** Parts of `total`, one after the other. */
  shares: readonly Share[];
  total: number;
}

/** How far something is, in parts: applied, failed, on its way. */
export function Progress({ label, shares, total }: ProgressProps) {
  const done = shares.reduce((sum, { value }) => sum + value, 0);
  return (
    <div
      class="progress"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={total}
      aria-valuenow={done}
      aria-valuetext={`${count(done)} of ${count(total)}`}
    >
      {shares.map(({ tone, value }) => (
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
  shown?: ComponentChildren;
  value: number;
}

/** A few amounts beside each other, the largest first. */
export function Bars({ bars, total }: { bars: readonly Bar[]; total: number }) {
  return (
    <ul class="bars">
      {bars.map(({ name, shown, value }) => (
        <li key={name}>
          <span class="bar-name">
            <span>{shown ?? name}</span>
            <span class="muted">{count(value)}</span>
          </span>
          <Progress label={name} shares={[{ tone: "info", value }]} total={total} />
        </li>
      ))}
    </ul>
  );
}
