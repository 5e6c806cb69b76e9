import { count } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { query } from "../../lib/router";
import { ofOrganization, within } from "../../lib/session";
import { Await, Empty } from "../../parts/states";
import type { Column } from "../../parts/table";
import { timeColumn } from "../../parts/timecolumn";
import { Export } from "./export";
import { Pages } from "./pages";
import type { KeyRow, Paged } from "./wire";

const PAGE = 200; // rows that one request brings

/** Key-encryption keys: which one an agent seals with, since when, and who owes a change. */
export function Keys() {
  const vault = query.value.get("vault") ?? "";
  const asks = { limit: PAGE, ...(vault ? { vault } : {}) };
  const found = useGet<Paged<KeyRow> & { told: number; due: number }>(
    ofOrganization("usage/keys"),
    asks,
  );
  return (
    <div class="stack">
      <Await of={found}>
        {first => (
          <>
            <p>
              Agents that owe a change of the key-encryption key: {count(first.due)} of{" "}
              {count(first.told)}.
            </p>
            <Pages
              key={JSON.stringify(asks)}
              title="Keys"
              aside={<Export of="keys" days="" />}
              path={ofOrganization("usage/keys")}
              asks={asks}
              first={first}
              columns={COLUMNS}
              keyOf={row => row.vault}
              empty={
                <Empty icon="check" title="None">
                  No agent has told of its key yet.
                </Empty>
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

const COLUMNS: Column<KeyRow>[] = [
  {
    name: "vault",
    title: "Agent",
    cell: ({ vault }) => <a href={within(`/agents/${vault}`)}>{vault}</a>,
    by: row => row.vault,
  },
  {
    name: "generation",
    title: "Generation",
    width: "7rem",
    number: true,
    cell: row => count(row.generation),
    by: row => row.generation,
  },
  timeColumn("since", "In use since", row => row.since, { sorts: true }),
  {
    name: "exact",
    title: "Or longer",
    wide: true,
    width: "6rem",
    cell: ({ exact }) => (exact ? "no" : "or longer"),
  },
  timeColumn("due", "Due since", row => row.due_since, { sorts: true }),
];
