import { useState } from "preact/hooks";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { SelectField, TextField } from "../../../components/field";
import { Form } from "../../../components/form";
import { type ListPage, usePagination } from "../../../components/pagination";
import { Await } from "../../../components/states";
import { get } from "../../../lib/api";
import { pluralize } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { query, setQuery } from "../../../lib/router";
import { organizationPath } from "../../../lib/session";
import { type AuditFilters, type AuditRecord, auditQuery, FILTER_FIELDS } from "./api-types";
import { AuditRecords } from "./records";

const PAGE_SIZE = 200; // records for each request
const BASIC_FILTERS = 4; // filters that are always visible
const RESULTS = [
  ["", "Any"],
  ["ok", "OK"],
  ["denied", "Denied"],
  ["failed", "Failed"],
] as const;
const PHASES = [
  ["", "Any"],
  ["intent", "Intent"],
  ["outcome", "Outcome"],
] as const;

/** Audit records by filter, newest first. The filters are in the address. */
export function Search() {
  const filters = filtersFromAddress();
  const result = useGet<AuditRecord[]>(organizationPath("audit"), {
    ...auditQuery(filters),
    limit: PAGE_SIZE,
  });
  return (
    <div class="stack">
      <FilterForm key={JSON.stringify(filters)} filters={filters} onRetry={result.reload} />
      <Await query={result}>
        {first => <ResultList key={first[0]?.seq ?? 0} filters={filters} first={first} />}
      </Await>
    </div>
  );
}

function filtersFromAddress(): AuditFilters {
  const given = FILTER_FIELDS.map(name => [name, query.value.get(name) ?? ""]);
  return Object.fromEntries(given) as AuditFilters;
}

function FilterForm({ filters, onRetry }: { filters: AuditFilters; onRetry: () => void }) {
  const [draft, setDraft] = useState(filters);
  const [all, setAll] = useState(FILTER_FIELDS.slice(BASIC_FILTERS).some(name => filters[name]));
  const field = (name: keyof AuditFilters) => ({
    value: draft[name],
    onChange: (value: string) => setDraft({ ...draft, [name]: value.trim() }),
  });
  const submit = async () => {
    if (JSON.stringify(draft) === JSON.stringify(filters)) onRetry();
    else setQuery(draft);
  };
  const clear = () => setQuery(Object.fromEntries(FILTER_FIELDS.map(name => [name, ""])));
  const isNarrowed = FILTER_FIELDS.some(name => filters[name]);
  return (
    <Card title="Filters">
      <Form
        submitLabel="Search"
        icon="search"
        onSubmit={submit}
        extraActions={
          <>
            {!all && <Button onClick={() => setAll(true)}>Show more filters</Button>}
            {isNarrowed && <Button onClick={clear}>Clear filters</Button>}
          </>
        }
      >
        <TextField label="Actor" placeholder="acme/ann" {...field("actor")} />
        <TextField
          label="Operation starts with"
          placeholder="users.change"
          {...field("operation")}
        />
        <TextField label="Target starts with" {...field("target")} />
        <SelectField label="Result" options={RESULTS} {...field("result")} />
        {all && (
          <>
            <SelectField label="Phase" options={PHASES} {...field("phase")} />
            <TextField label="IP address" placeholder="192.0.2.1" {...field("ip")} />
            <TextField label="Request ID" {...field("request_id")} />
            <TextField label="Since" type="datetime-local" {...field("since")} />
            <TextField label="Until" type="datetime-local" {...field("until")} />
          </>
        )}
      </Form>
    </Card>
  );
}

function ResultList({ filters, first }: { filters: AuditFilters; first: AuditRecord[] }) {
  const { rows, suffix, loadMore } = usePagination(listPage(first), async before =>
    listPage(
      await get<AuditRecord[]>(organizationPath("audit"), {
        query: { ...auditQuery(filters), limit: PAGE_SIZE, before },
      }),
    ),
  );
  return (
    <>
      <AuditRecords rows={rows} aside={`${pluralize(rows.length, "record")}${suffix}`} />
      {loadMore}
    </>
  );
}

/** A full page may be followed by older records. */
function listPage(rows: AuditRecord[]): ListPage<AuditRecord, number> {
  return { rows, next: rows.length < PAGE_SIZE ? 0 : (rows.at(-1)?.seq ?? 0) };
}
