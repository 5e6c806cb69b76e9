import { count } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { query, setQuery } from "../../lib/router";
import { ofOrganization, within } from "../../lib/session";
import { Choice } from "../../parts/field";
import { Fields } from "../../parts/form";
import { Await, Empty } from "../../parts/states";
import type { Column } from "../../parts/table";
import { share } from "./course";
import { Export } from "./export";
import { Pages } from "./pages";
import { asked } from "./span";
import type { Paged, Ranked } from "./wire";

const KINDS = [
  ["agent", "Agents"],
  ["operation", "Operations"],
  ["secret", "Secrets, by opaque id"],
  ["identity", "Identities, by opaque id"],
] as const;
const PAGE = 200; // rows that one request brings

/** The most used of a kind. */
export function Top() {
  const of = KINDS.find(([name]) => name === query.value.get("of"))?.[0] ?? "agent";
  const asks = { ...asked(), of, limit: PAGE };
  const found = useGet<Paged<Ranked>>(ofOrganization("usage/top"), asks);
  return (
    <div class="stack">
      <Fields>
        <Choice
          label="Count by"
          value={of}
          change={kind => setQuery({ of: kind === "agent" ? "" : kind })}
          options={KINDS}
        />
      </Fields>
      <Await of={found}>
        {first => (
          <Pages
            key={JSON.stringify(asks)}
            title="Most used"
            aside={<Export of={of} />}
            path={ofOrganization("usage/top")}
            asks={asks}
            first={first}
            columns={COLUMNS}
            keyOf={({ subject, vault }) => `${vault}/${subject}`}
            empty={
              <Empty icon="chart" title="Nothing of this kind">
                Agents name secrets and identities only with share_usage: opaque.
              </Empty>
            }
          />
        )}
      </Await>
    </div>
  );
}

const COLUMNS: Column<Ranked>[] = [
  {
    name: "vault",
    title: "Agent",
    width: "9rem",
    cell: ({ vault }) => (vault ? <a href={within(`/agents/${vault}`)}>{vault}</a> : "all"),
    by: row => row.vault,
  },
  {
    name: "subject",
    title: "What",
    cell: ({ subject, vault }) =>
      subject === vault ? "Everything" : <code title={subject}>{subject}</code>,
    by: row => row.subject,
  },
  {
    name: "count",
    title: "Times",
    width: "7rem",
    number: true,
    cell: row => count(row.count),
    by: row => row.count,
  },
  {
    name: "failed",
    title: "Refused or failed",
    width: "9rem",
    number: true,
    wide: true,
    cell: row => `${count(row.failed)} (${share(row.failed, row.count)})`,
    by: row => row.failed,
  },
];
