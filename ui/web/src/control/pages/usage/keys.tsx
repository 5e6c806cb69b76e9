import { Await, EmptyState } from "../../../components/states";
import type { Column } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { formatCount, pluralize } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { query } from "../../../lib/router";
import { inOrganization, organizationPath } from "../../../lib/session";
import type { KeyStatus, PageOf } from "./api-types";
import { ExportButtons } from "./export-buttons";
import { PagedTable } from "./paged-table";

const PAGE_SIZE = 200; // rows for each request

/** Key-encryption keys of the agents, and which are due for rotation. */
export function KeysTab() {
  const vault = query.value.get("vault") ?? "";
  const params = { limit: PAGE_SIZE, ...(vault ? { vault } : {}) };
  const result = useGet<PageOf<KeyStatus> & { told: number; due: number }>(
    organizationPath("usage/keys"),
    params,
  );
  return (
    <div class="stack">
      <Await query={result}>
        {first => (
          <>
            <p>
              Key rotation due: {formatCount(first.due)} of {pluralize(first.told, "agent")}.
            </p>
            <PagedTable
              key={JSON.stringify(params)}
              title="Keys"
              aside={<ExportButtons list="keys" days="" />}
              path={organizationPath("usage/keys")}
              params={params}
              first={first}
              columns={COLUMNS}
              keyOf={row => row.vault}
              empty={
                <EmptyState icon="check" title="No keys yet">
                  {" "}
                  No agent has reported its key.
                </EmptyState>
              }
            />
          </>
        )}
      </Await>
      <p class="muted">
        Each agent decides when its key-encryption key is due, by age or by use, and rotates it. “Or
        longer” means that the key was in use before the control plane recorded it.
      </p>
    </div>
  );
}

const COLUMNS: Column<KeyStatus>[] = [
  {
    name: "vault",
    title: "Agent",
    cell: ({ vault }) => <a href={inOrganization(`/agents/${vault}`)}>{vault}</a>,
    sortBy: row => row.vault,
  },
  {
    name: "generation",
    title: "Generation",
    width: "7rem",
    numeric: true,
    cell: row => formatCount(row.generation),
    sortBy: row => row.generation,
  },
  timeColumn("since", "In use since", row => row.since, { sortable: true }),
  {
    name: "exact",
    title: "Or longer",
    wideOnly: true,
    width: "6rem",
    cell: ({ exact }) => (exact ? "No" : "Or longer"),
  },
  timeColumn("due", "Due since", row => row.due_since, { sortable: true }),
];
