import { count } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { query, setQuery } from "../../lib/router";
import { ofOrganization, within } from "../../lib/session";
import { Copy } from "../../parts/copy";
import { Choice, Field } from "../../parts/field";
import { Fields } from "../../parts/form";
import { Await, Empty } from "../../parts/states";
import type { Column } from "../../parts/table";
import { timeColumn } from "../../parts/timecolumn";
import { Export } from "./export";
import { Pages } from "./pages";
import { asked } from "./span";
import type { Paged, SecretRow } from "./wire";

const PAGE = 200; // rows that one request brings
const LISTS = [
  ["unused", "Unused"],
  ["overused", "Over-used"],
  ["expiring", "Expiring"],
  ["rotation", "Rotation debt"],
  ["all", "All that were named"],
] as const;

const TOLD: Record<string, string> = {
  unused: "Not read for so many days, or never and as old.",
  overused: "Read more than 10 times as often as the agent's median, and at least 100 times.",
  expiring: "What expires within so many days, the soonest first.",
  rotation: "Whose current version is older than so many days, the oldest first.",
  all: "Every secret that an agent named.",
};
const BY_DAYS = ["unused", "expiring", "rotation"];

/** Secrets that need a look, by opaque id: only their agent knows the names. */
export function Secrets() {
  const which = LISTS.find(([name]) => name === query.value.get("which"))?.[0] ?? "unused";
  const days = query.value.get("days") ?? "";
  const asks = { ...asked(), which, limit: PAGE, ...(days ? { days } : {}) };
  const found = useGet<Paged<SecretRow>>(ofOrganization("usage/secrets"), asks);
  return (
    <div class="stack">
      <Fields>
        <Choice
          label="Which"
          hint={TOLD[which]}
          value={which}
          change={chosen => setQuery({ which: chosen === "unused" ? "" : chosen, days: "" })}
          options={LISTS}
        />
        {BY_DAYS.includes(which) && (
          <Field
            label="Days"
            type="number"
            min="1"
            placeholder={which === "expiring" ? "30" : "90"}
            value={days}
            change={value => setQuery({ days: value.replace(/\D/g, "").slice(0, 4) })}
          />
        )}
      </Fields>
      <Await of={found}>
        {first => (
          <Pages
            key={JSON.stringify(asks)}
            title="Secrets"
            aside={<Export of={which} days={days} />}
            path={ofOrganization("usage/secrets")}
            asks={asks}
            first={first}
            columns={COLUMNS}
            keyOf={({ secret, vault }) => `${vault}/${secret}`}
            empty={
              <Empty icon="check" title="None">
                Or their agents do not name them: that takes share_usage: opaque there.
              </Empty>
            }
          />
        )}
      </Await>
      <p class="muted">
        What an id is, its agent says: <code>freehold agent usage who ID</code>.
      </p>
    </div>
  );
}

const COLUMNS: Column<SecretRow>[] = [
  {
    name: "vault",
    title: "Agent",
    width: "9rem",
    cell: ({ vault }) => <a href={within(`/agents/${vault}`)}>{vault}</a>,
    by: row => row.vault,
  },
  {
    name: "secret",
    title: "Secret",
    cell: ({ secret }) => <code title={secret}>{secret}</code>,
  },
  {
    name: "copy",
    title: "Copy",
    bare: true,
    width: "3.5rem",
    cell: ({ secret }) => <Copy text={secret} label={`Copy ${secret}`} />,
  },
  {
    name: "reads",
    title: "Reads",
    width: "6rem",
    number: true,
    cell: row => count(row.reads),
    by: row => row.reads,
  },
  timeColumn("read", "Last read", row => row.last_read, { wide: true, sorts: true }),
  timeColumn("rotated", "Rotated", row => row.rotated_at, { wide: true, sorts: true }),
  timeColumn("expires", "Expires", row => row.expires_at, { wide: true, sorts: true }),
];
