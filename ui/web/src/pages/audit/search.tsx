import { useState } from "preact/hooks";
import { get } from "../../lib/api";
import { plural } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { query, setQuery } from "../../lib/router";
import { ofOrganization } from "../../lib/session";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Choice, Field } from "../../parts/field";
import { Form } from "../../parts/form";
import { type Part, useParts } from "../../parts/more";
import { Await } from "../../parts/states";
import { Events } from "./events";
import { type AuditEvent, FIELDS, type Filters, queryOf } from "./wire";

const PAGE = 200; // records that one request brings
const USUAL = 4; // filters that are shown first
const RESULTS = [
  ["", "Any"],
  ["ok", "Done"],
  ["denied", "Refused"],
  ["failed", "Failed"],
] as const;
const PHASES = [
  ["", "Any"],
  ["intent", "Begun"],
  ["outcome", "What came of it"],
] as const;

/** The newest records first, narrowed by what is known of them. The filters are in the address. */
export function Search() {
  const filters = asked();
  const found = useGet<AuditEvent[]>(ofOrganization("audit"), {
    ...queryOf(filters),
    limit: PAGE,
  });
  return (
    <div class="stack">
      <Ask key={JSON.stringify(filters)} filters={filters} again={found.reload} />
      <Await of={found}>
        {first => <List key={first[0]?.seq ?? 0} filters={filters} first={first} />}
      </Await>
    </div>
  );
}

function asked(): Filters {
  const given = FIELDS.map(name => [name, query.value.get(name) ?? ""]);
  return Object.fromEntries(given) as Filters;
}

function Ask({ filters, again }: { filters: Filters; again: () => void }) {
  const [typed, setTyped] = useState(filters);
  const [all, setAll] = useState(FIELDS.slice(USUAL).some(name => filters[name]));
  const field = (name: keyof Filters) => ({
    value: typed[name],
    change: (value: string) => setTyped({ ...typed, [name]: value.trim() }),
  });
  const act = async () => {
    if (JSON.stringify(typed) === JSON.stringify(filters)) again();
    else setQuery(typed);
  };
  const clear = () => setQuery(Object.fromEntries(FIELDS.map(name => [name, ""])));
  const isNarrowed = FIELDS.some(name => filters[name]);
  return (
    <Card title="Look for">
      <Form
        action="Search"
        icon="search"
        act={act}
        also={
          <>
            {!all && <Button onClick={() => setAll(true)}>More filters</Button>}
            {isNarrowed && <Button onClick={clear}>Clear</Button>}
          </>
        }
      >
        <Field label="Who" placeholder="acme/ann" {...field("actor")} />
        <Field label="Operation begins with" placeholder="users.change" {...field("operation")} />
        <Field label="Target begins with" {...field("target")} />
        <Choice label="Result" options={RESULTS} {...field("result")} />
        {all && (
          <>
            <Choice label="Phase" options={PHASES} {...field("phase")} />
            <Field label="Address" placeholder="192.0.2.1" {...field("ip")} />
            <Field label="Request id" {...field("request_id")} />
            <Field label="Since" type="datetime-local" {...field("since")} />
            <Field label="Until" type="datetime-local" {...field("until")} />
          </>
        )}
      </Form>
    </Card>
  );
}

function List({ filters, first }: { filters: Filters; first: AuditEvent[] }) {
  const { rows, soFar, more } = useParts(part(first), async before =>
    part(
      await get<AuditEvent[]>(ofOrganization("audit"), {
        query: { ...queryOf(filters), limit: PAGE, before },
      }),
    ),
  );
  return (
    <>
      <Events rows={rows} aside={`${plural(rows.length, "record")}${soFar}`} />
      {more}
    </>
  );
}

/** A full page may have older ones behind it. */
function part(rows: AuditEvent[]): Part<AuditEvent, number> {
  return { rows, next: rows.length < PAGE ? 0 : (rows.at(-1)?.seq ?? 0) };
}
