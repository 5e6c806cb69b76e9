import type { ReadonlySignal } from "@preact/signals";
import { within } from "../../lib/session";
import { Card } from "../../parts/card";
import { Bars } from "../../parts/progress";
import { ranked, type Summary } from "./rows";

const MOST = 6;

/** How many agents there are of each version and tag; a press narrows the list. */
export function Groups(props: { summary: ReadonlySignal<Summary> }) {
  const summary = props.summary.value;
  return (
    <>
      <Counted title="By version" field="version" counts={summary.versions} of={summary.total} />
      <Counted title="By tag" field="tag" counts={summary.tags} of={summary.total} />
    </>
  );
}

interface CountedProps {
  title: string;
  field: string;
  counts: Record<string, number>;
  of: number;
}

function Counted({ title, field, counts, of }: CountedProps) {
  const all = ranked(counts);
  if (!all.length) return null;
  const aside = all.length > MOST ? `${MOST} of ${all.length}` : undefined;
  return (
    <Card title={title} aside={aside}>
      <Bars
        total={of}
        bars={all.slice(0, MOST).map(([name, value]) => ({
          name,
          value,
          shown: <a href={within(`/?${field}=${encodeURIComponent(name)}`)}>{name}</a>,
        }))}
      />
    </Card>
  );
}
