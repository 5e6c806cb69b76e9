import { useState } from "preact/hooks";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { SelectField, TextField } from "../../../components/field";
import { type ListPage, usePagination } from "../../../components/pagination";
import { Await } from "../../../components/states";
import { get } from "../../../lib/api";
import { pluralize } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { query, setQuery } from "../../../lib/router";
import type { AuditEvent } from "../../api-types";
import { AuditEvents } from "./events";

const PAGE_SIZE = 200;
const FILTER_FIELDS = [
  "path",
  "operation",
  "actor_id",
  "result",
  "request_id",
  "since",
  "until",
] as const;
const RESULTS = [
  ["", "Any"],
  ["ok", "OK"],
  ["denied", "Denied"],
  ["failed", "Failed"],
] as const;

type AuditFilters = Record<(typeof FILTER_FIELDS)[number], string>;

interface EventPage {
  events: AuditEvent[];
  cursor: string;
}

/** Audit events by filter, newest first. The filters are in the address. */
export function Search() {
  const filters = filtersFromAddress();
  const result = useGet<EventPage>("audit/events", { ...filters, limit: PAGE_SIZE });
  return (
    <div class="stack">
      <FilterForm key={JSON.stringify(filters)} filters={filters} />
      <Await query={result}>
        {page => <ResultList key={page.events[0]?.seq} filters={filters} first={page} />}
      </Await>
    </div>
  );
}

function filtersFromAddress(): AuditFilters {
  const given = FILTER_FIELDS.map(name => [name, query.value.get(name) ?? ""]);
  return Object.fromEntries(given) as AuditFilters;
}

function FilterForm({ filters }: { filters: AuditFilters }) {
  const [draft, setDraft] = useState(filters);
  const field = (name: keyof AuditFilters) => ({
    value: draft[name],
    onChange: (value: string) => setDraft({ ...draft, [name]: value }),
  });
  const submit = (event: Event) => {
    event.preventDefault();
    setQuery(draft);
  };
  return (
    <Card title="Filters">
      <form class="form" onSubmit={submit}>
        <div class="field-row">
          <TextField label="Path starts with" {...field("path")} />
          <TextField label="Operation" placeholder="secret.read" {...field("operation")} />
          <TextField label="Actor ID" {...field("actor_id")} />
          <SelectField label="Result" options={RESULTS} {...field("result")} />
          <TextField label="Request ID" {...field("request_id")} />
          <TextField label="Since" placeholder="2026-11-24T00:00:00Z" {...field("since")} />
          <TextField label="Until" placeholder="2026-11-25T00:00:00Z" {...field("until")} />
          <Button type="submit" kind="primary" icon="search">
            Search
          </Button>
        </div>
      </form>
    </Card>
  );
}

function ResultList({ filters, first }: { filters: AuditFilters; first: EventPage }) {
  const { rows, suffix, loadMore } = usePagination(listPage(first), async cursor =>
    listPage(
      await get<EventPage>("audit/events", { query: { ...filters, limit: PAGE_SIZE, cursor } }),
    ),
  );
  return (
    <AuditEvents
      title="Results"
      rows={rows}
      aside={`${pluralize(rows.length, "record")}${suffix}`}
      more={loadMore}
    />
  );
}

function listPage({ events, cursor }: EventPage): ListPage<AuditEvent, string> {
  return { rows: events, next: cursor };
}
