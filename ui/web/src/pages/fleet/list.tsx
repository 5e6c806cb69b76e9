import type { ReadonlySignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { compact, count, millis, plural } from "../../lib/format";
import { navigate, query, setQuery } from "../../lib/router";
import { within } from "../../lib/session";
import { PolicyState, State, Tags } from "../../parts/badge";
import { Card } from "../../parts/card";
import { Search, Select } from "../../parts/field";
import { Empty } from "../../parts/states";
import { type Column, Table } from "../../parts/table";
import { TimeAgo } from "../../parts/time";
import { isHeard, type Listed, narrowed, ranked, type Summary } from "./rows";

const MOST_CHOICES = 100; // of one filter, the most frequent; the search finds the others
const URGENCY = [
  ...["refusing", "sealed", "offline", "locked", "degraded", "late"],
  ...["pending", "unknown", "online"],
];

const COLUMNS: Column<Listed>[] = [
  {
    name: "state",
    title: "State",
    width: "7.5rem",
    cell: row => <State of={row.state} />,
    by: row => URGENCY.indexOf(row.state),
  },
  {
    name: "vault",
    title: "Agent",
    cell: ({ key }) => <a href={within(`/agents/${key}`)}>{key}</a>,
    by: row => row.key,
  },
  { name: "tags", title: "Tags", wide: true, cell: ({ tags }) => <Tags of={tags} most={2} /> },
  {
    name: "version",
    title: "Version",
    width: "6rem",
    wide: true,
    cell: row => row.version || "–",
    by: row => row.version || null,
  },
  {
    name: "policy",
    title: "Policies",
    width: "7.5rem",
    wide: true,
    cell: ({ policy }) => (policy ? <PolicyState of={policy} /> : <span class="muted">None</span>),
    by: row => row.policy || null,
  },
  {
    name: "requests",
    title: "Req/s",
    width: "5.5rem",
    number: true,
    wide: true,
    cell: row => compact(row.requests),
    by: row => row.requests,
  },
  {
    name: "errors",
    title: "Err/s",
    width: "5.5rem",
    number: true,
    wide: true,
    cell: row => compact(row.errors),
    by: row => row.errors,
  },
  {
    name: "p99",
    title: "p99",
    width: "5.5rem",
    number: true,
    wide: true,
    cell: row => millis(row.p99),
    by: row => row.p99,
  },
  {
    name: "heard",
    title: "Last word",
    width: "7rem",
    number: true,
    wide: true,
    cell: row => (isHeard(row) ? "now" : <TimeAgo at={row.heard} />),
    by: row => (isHeard(row) ? Number.MAX_SAFE_INTEGER : row.heard || null),
  },
];

interface ListProps {
  rows: ReadonlySignal<readonly Listed[]>;
  summary: ReadonlySignal<Summary>;
}

/** Every agent; the address holds what it is narrowed to. */
export function List(props: ListProps) {
  const [rows, summary] = [props.rows.value, props.summary.value];
  const asked = (name: string) => query.value.get(name) ?? "";
  const [text, state, tag, version] = [asked("q"), asked("state"), asked("tag"), asked("version")];
  const shown = useMemo(
    () => narrowed(rows, { text, state, tag, version }),
    [rows, text, state, tag, version],
  );
  const all = shown.length === rows.length;
  return (
    <Card
      title="Agents"
      flush
      aside={all ? plural(rows.length, "agent") : `${count(shown.length)} of ${count(rows.length)}`}
    >
      <div class="toolbar">
        <Search label="Find agents" value={text} change={q => setQuery({ q })} />
        <Select
          aria-label="State"
          value={state}
          change={value => setQuery({ state: value })}
          options={choices("Any state", {
            ...summary.states,
            failed: summary.policies.failed ?? 0,
          })}
        />
        <Select
          aria-label="Tag"
          value={tag}
          change={value => setQuery({ tag: value })}
          options={choices("Any tag", summary.tags)}
        />
        <Select
          aria-label="Version"
          value={version}
          change={value => setQuery({ version: value })}
          options={choices("Any version", summary.versions)}
        />
      </div>
      <Table
        label="Agents"
        columns={COLUMNS}
        rows={shown}
        keyOf={row => row.key}
        order={{ column: "state", descending: false }}
        open={row => navigate(within(`/agents/${row.key}`))}
        height="max(28rem, 55vh)"
        empty={<Empty title="No agent fits">Try fewer filters.</Empty>}
      />
    </Card>
  );
}

function choices(any: string, counts: Record<string, number>): [string, string][] {
  const found = ranked(counts)
    .slice(0, MOST_CHOICES)
    .map(([name, number]): [string, string] => [name, `${name} (${count(number)})`]);
  return [["", any], ...found];
}
