import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import "./card.css";

interface CardProps {
  title: string;
  /** At the right of the title: a count, a legend, a button. */
  aside?: ComponentChildren;
  /** Without padding, for tables and lists that bring their own. */
  flush?: boolean;
  children: ComponentChildren;
}

/** A section of a page with a title. */
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

const UNKNOWN = "–"; // it has no unit

interface StatProps {
  label: ComponentChildren;
  value: ComponentChildren;
  unit?: string;
  note?: ComponentChildren;
  /** Where a press leads. */
  href?: string;
}

/** One large number. */
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

/** Names and what they are, under each other. */
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
