import { SelectField } from "../../../components/field";
import { FieldGrid } from "../../../components/form";
import { Await, EmptyState } from "../../../components/states";
import type { Column } from "../../../components/table";
import { formatCount } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { query, setQuery } from "../../../lib/router";
import { inOrganization, organizationPath } from "../../../lib/session";
import type { PageOf, UsageCount } from "./api-types";
import { ExportButtons } from "./export-buttons";
import { usageQuery } from "./filters";
import { PagedTable } from "./paged-table";
import { formatShare } from "./series";

const KINDS = [
  ["agent", "Agents"],
  ["operation", "Operations"],
  ["secret", "Secrets, by opaque ID"],
  ["identity", "Identities, by opaque ID"],
] as const;
const PAGE_SIZE = 200; // rows for each request

/** Agents, operations, secrets or identities by use. */
export function MostUsedTab() {
  const of = KINDS.find(([name]) => name === query.value.get("of"))?.[0] ?? "agent";
  const params = { ...usageQuery(), of, limit: PAGE_SIZE };
  const result = useGet<PageOf<UsageCount>>(organizationPath("usage/top"), params);
  return (
    <div class="stack">
      <FieldGrid>
        <SelectField
          label="Count by"
          value={of}
          onChange={kind => setQuery({ of: kind === "agent" ? "" : kind })}
          options={KINDS}
        />
      </FieldGrid>
      <Await query={result}>
        {first => (
          <PagedTable
            key={JSON.stringify(params)}
            title="Most used"
            aside={<ExportButtons list={of} />}
            path={organizationPath("usage/top")}
            params={params}
            first={first}
            columns={COLUMNS}
            keyOf={({ subject, vault }) => `${vault}/${subject}`}
            empty={
              <EmptyState icon="chart" title="No data">
                {" "}
                Agents report secrets and identities only with share_usage: opaque.
              </EmptyState>
            }
          />
        )}
      </Await>
    </div>
  );
}

const COLUMNS: Column<UsageCount>[] = [
  {
    name: "vault",
    title: "Agent",
    width: "9rem",
    cell: ({ vault }) => (vault ? <a href={inOrganization(`/agents/${vault}`)}>{vault}</a> : "All"),
    sortBy: row => row.vault,
  },
  {
    name: "subject",
    title: "Subject",
    cell: ({ subject, vault }) =>
      subject === vault ? "Everything" : <code title={subject}>{subject}</code>,
    sortBy: row => row.subject,
  },
  {
    name: "count",
    title: "Count",
    width: "7rem",
    numeric: true,
    cell: row => formatCount(row.count),
    sortBy: row => row.count,
  },
  {
    name: "failed",
    title: "Denied or failed",
    width: "9rem",
    numeric: true,
    wideOnly: true,
    cell: row => `${formatCount(row.failed)} (${formatShare(row.failed, row.count)})`,
    sortBy: row => row.failed,
  },
];
