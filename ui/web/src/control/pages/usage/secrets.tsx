import { CopyButton } from "../../../components/copy-button";
import { SelectField, TextField } from "../../../components/field";
import { FieldGrid } from "../../../components/form";
import { Await, EmptyState } from "../../../components/states";
import type { Column } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { formatCount } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { query, setQuery } from "../../../lib/router";
import { inOrganization, organizationPath } from "../../../lib/session";
import type { PageOf, SecretUsage } from "./api-types";
import { ExportButtons } from "./export-buttons";
import { usageQuery } from "./filters";
import { PagedTable } from "./paged-table";

const PAGE_SIZE = 200; // rows for each request
const LISTS = [
  ["unused", "Unused"],
  ["overused", "Overused"],
  ["expiring", "Expiring"],
  ["rotation", "Rotation overdue"],
  ["all", "All reported secrets"],
] as const;

const DESCRIPTIONS: Record<string, string> = {
  unused: "Not read for this many days, or never read and at least this old.",
  overused: "Read at least 100 times and more than 10 times as often as the agent's median.",
  expiring: "Expires within this many days, soonest first.",
  rotation: "Current version older than this many days, oldest first.",
  all: "Every secret that an agent reported by ID.",
};
const LISTS_BY_DAYS = ["unused", "expiring", "rotation"];

/** Secrets by opaque ID: only their agent knows the names. */
export function SecretsTab() {
  const which = LISTS.find(([name]) => name === query.value.get("which"))?.[0] ?? "unused";
  const days = query.value.get("days") ?? "";
  const params = { ...usageQuery(), which, limit: PAGE_SIZE, ...(days ? { days } : {}) };
  const result = useGet<PageOf<SecretUsage>>(organizationPath("usage/secrets"), params);
  return (
    <div class="stack">
      <FieldGrid>
        <SelectField
          label="List"
          hint={DESCRIPTIONS[which]}
          value={which}
          onChange={chosen => setQuery({ which: chosen === "unused" ? "" : chosen, days: "" })}
          options={LISTS}
        />
        {LISTS_BY_DAYS.includes(which) && (
          <TextField
            label="Days"
            type="number"
            min="1"
            placeholder={which === "expiring" ? "30" : "90"}
            value={days}
            onChange={value => setQuery({ days: value.replace(/\D/g, "").slice(0, 4) })}
          />
        )}
      </FieldGrid>
      <Await query={result}>
        {first => (
          <PagedTable
            key={JSON.stringify(params)}
            title="Secrets"
            aside={<ExportButtons list={which} days={days} />}
            path={organizationPath("usage/secrets")}
            params={params}
            first={first}
            columns={COLUMNS}
            keyOf={({ secret, vault }) => `${vault}/${secret}`}
            empty={
              <EmptyState icon="check" title="No secrets">
                {" "}
                Agents report secret IDs only with share_usage: opaque.
              </EmptyState>
            }
          />
        )}
      </Await>
      <p class="muted">
        To find the secret of an ID, run on its agent: <code>freehold agent usage resolve ID</code>.
      </p>
    </div>
  );
}

const COLUMNS: Column<SecretUsage>[] = [
  {
    name: "vault",
    title: "Agent",
    width: "9rem",
    cell: ({ vault }) => <a href={inOrganization(`/agents/${vault}`)}>{vault}</a>,
    sortBy: row => row.vault,
  },
  {
    name: "secret",
    title: "Secret",
    cell: ({ secret }) => <code title={secret}>{secret}</code>,
  },
  {
    name: "copy",
    title: "Copy",
    hideTitle: true,
    width: "3.5rem",
    cell: ({ secret }) => <CopyButton text={secret} label={`Copy ${secret}`} />,
  },
  {
    name: "reads",
    title: "Reads",
    width: "6rem",
    numeric: true,
    cell: row => formatCount(row.reads),
    sortBy: row => row.reads,
  },
  timeColumn("read", "Last read", row => row.last_read, { wideOnly: true, sortable: true }),
  timeColumn("rotated", "Rotated", row => row.rotated_at, { wideOnly: true, sortable: true }),
  timeColumn("expires", "Expires", row => row.expires_at, { wideOnly: true, sortable: true }),
];
