import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import "./card.css";

interface CardProps {
  title: string;
  /** Shown at the right of the title. */
  aside?: ComponentChildren;
  /** Without padding, for tables and lists. */
  flush?: boolean;
  children: ComponentChildren;
}

/** A titled section of a page. */
export function Card({ title, aside, flush = false, children }: CardProps) {
  const id = useId();
  return (
    <section class="card" aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {aside && <div class="aside">{aside}</div>}
      </header>
      <div class={flush ? "body flush" : "body"}>{children}</div>
    </section>
  );
}

export function StatRow({ children }: { children: ComponentChildren }) {
  return <div class="figures">{children}</div>;
}

const UNKNOWN = "–"; // no value, and therefore no unit

interface StatProps {
  label: ComponentChildren;
  value: ComponentChildren;
  unit?: string;
  note?: ComponentChildren;
  href?: string;
}

/** One large number with a label. */
export function Stat({ label, value, unit, note, href }: StatProps) {
  const inside = (
    <>
      <span class="label">{label}</span>
      <span class="value">
        {value}
        {unit && value !== UNKNOWN && <span class="unit">{unit}</span>}
      </span>
      {note && <span class="note">{note}</span>}
    </>
  );
  return href ? (
    <a class="figure" href={href}>
      {inside}
    </a>
  ) : (
    <div class="figure">{inside}</div>
  );
}

/** Pairs of name and value. */
export function DescriptionList({ rows }: { rows: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <>
          <dt key={name}>{name}</dt>
          <dd>{value}</dd>
        </>
      ))}
    </dl>
  );
}
