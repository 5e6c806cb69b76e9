import type { ReadonlySignal } from "@preact/signals";
import { count } from "../../lib/format";
import { useGet } from "../../lib/hooks";
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

/** Of one organization, but for agents that are retired. */
interface Tally {
  organization: string;
  agents: number;
  online: number;
}

/** The largest organizations, for super-admins: as of when the page was opened. */
export function Organizations() {
  const found = useGet<Tally[]>("tallies", { limit: MOST });
  if (!found.data?.length) return null;
  return (
    <Card title="By organization">
      <Bars
        total={found.data[0]?.agents ?? 0}
        bars={found.data.map(({ organization, agents, online }) => ({
          name: organization,
          value: agents,
          shown: (
            <>
              <a href={`/?org=${organization}`}>{organization}</a>{" "}
              <span class="muted">{count(online)} online</span>
            </>
          ),
        }))}
      />
    </Card>
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
