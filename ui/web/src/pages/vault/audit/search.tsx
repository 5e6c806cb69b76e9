import { useState } from "preact/hooks";
import type { AuditEvent } from "../../../agent/wire";
import { get } from "../../../lib/api";
import { useGet } from "../../../lib/hooks";
import { query, setQuery } from "../../../lib/router";
import { Button } from "../../../parts/button";
import { Card } from "../../../parts/card";
import { Choice, Field } from "../../../parts/field";
import { type Part, useParts } from "../../../parts/more";
import { Await } from "../../../parts/states";
import { Events } from "./events";

const PAGE = 200;
const FIELDS = ["path", "operation", "actor_id", "result", "request_id", "since", "until"] as const;
const RESULTS = [
  ["", "Any"],
  ["ok", "Done"],
  ["denied", "Refused"],
  ["failed", "Failed"],
] as const;

type Filters = Record<(typeof FIELDS)[number], string>;

interface EventPage {
  events: AuditEvent[];
  cursor: string;
}

/** The index of events by what is known of them, newest first. The filters are in the address. */
export function Search() {
  const filters = asked();
  const found = useGet<EventPage>("audit/events", { ...filters, limit: PAGE });
  return (
    <div class="stack">
      <Form key={JSON.stringify(filters)} filters={filters} />
      <Await of={found}>
        {page => <List key={page.events[0]?.seq} filters={filters} first={page} />}
      </Await>
    </div>
  );
}

function asked(): Filters {
  const given = FIELDS.map(name => [name, query.value.get(name) ?? ""]);
  return Object.fromEntries(given) as Filters;
}

function Form({ filters }: { filters: Filters }) {
  const [typed, setTyped] = useState(filters);
  const field = (name: keyof Filters) => ({
    value: typed[name],
    change: (value: string) => setTyped({ ...typed, [name]: value }),
  });
  const submit = (event: Event) => {
    event.preventDefault();
    setQuery(typed);
  };
  return (
    <Card title="Look for">
      <form class="form" onSubmit={submit}>
        <div class="pick">
          <Field label="Path begins with" {...field("path")} />
          <Field label="Operation" placeholder="secret.read" {...field("operation")} />
          <Field label="Id of who did it" {...field("actor_id")} />
          <Choice label="Result" options={RESULTS} {...field("result")} />
          <Field label="Request id" {...field("request_id")} />
          <Field label="Since" placeholder="2026-11-24T00:00:00Z" {...field("since")} />
          <Field label="Until" placeholder="2026-11-25T00:00:00Z" {...field("until")} />
          <Button type="submit" kind="primary" icon="search">
            Search
          </Button>
        </div>
      </form>
    </Card>
  );
}

function List({ filters, first }: { filters: Filters; first: EventPage }) {
  const { rows, soFar, more } = useParts(part(first), async cursor =>
    part(await get<EventPage>("audit/events", { query: { ...filters, limit: PAGE, cursor } })),
  );
  return <Events title="Found" rows={rows} aside={`${rows.length} records${soFar}`} more={more} />;
}

function part({ events, cursor }: EventPage): Part<AuditEvent, string> {
  return { rows: events, next: cursor };
}
