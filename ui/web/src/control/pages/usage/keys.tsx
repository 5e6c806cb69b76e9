import { Await, EmptyState } from "../../../components/states";
import type { Column } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { formatCount } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { query } from "../../../lib/router";
import { inOrganization, organizationPath } from "../../../lib/session";
import type { KeyStatus, PageOf } from "./api-types";
import { ExportButtons } from "./export-buttons";
import { PagedTable } from "./paged-table";

const PAGE_SIZE = 200; // rows that one request brings

/** Key-encryption keys: which one an agent seals with, since when, and who owes a change. */
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
              Agents that owe a change of the key-encryption key: {formatCount(first.due)} of{" "}
              {formatCount(first.told)}.
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
                <EmptyState icon="check" title="None">
                  No agent has told of its key yet.
                </EmptyState>
              }
            />
          </>
        )}
      </Await>
      <p class="muted">
        When a change is due, by age or by use, each agent judges for itself, and makes it. “Or
        longer”: it was in use before anybody wrote it down.
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
    cell: ({ exact }) => (exact ? "no" : "or longer"),
  },
  timeColumn("due", "Due since", row => row.due_since, { sortable: true }),
];
