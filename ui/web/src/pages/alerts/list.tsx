import { useState } from "preact/hooks";
import { asApiError, get, post } from "../../lib/api";
import type { Keyed } from "../../lib/collection";
import { count, plural, words } from "../../lib/format";
import { useLive } from "../../lib/hooks";
import { query, setQuery } from "../../lib/router";
import { may, ofOrganization, organization, within } from "../../lib/session";
import type { AlertRow } from "../../lib/types";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Dialog } from "../../parts/dialog";
import { Field, Search, Select } from "../../parts/field";
import { Empty, Failure, Loading, Stale } from "../../parts/states";
import { TimeAgo } from "../../parts/time";
import { toast, toastError } from "../../parts/toasts";
import { narrowed, type Older, rowOf } from "./rows";

type Row = Keyed<AlertRow>;

const PAGE = 100;

/** The newest live, older ones as they are asked for; the address holds what it is narrowed to. */
export function List() {
  const live = useLive<AlertRow>("alerts", organization.value);
  live.version.value;
  const [older, setOlder] = useState<Row[]>([]);
  const [isEnd, setEnd] = useState(false);
  if (live.error.value) return <Failure error={live.error.value} />;
  if (live.freshness.value === "loading") return <Loading what="Loading alerts" />;
  const asked = (name: string) => query.value.get(name) ?? "";
  const [text, severity] = [asked("q"), asked("severity")];
  const [state, vault] = [asked("state"), asked("vault")];
  const rows = [...live.list(), ...older.filter(row => !live.rows.has(row.key))];
  rows.sort((a, b) => b.at - a.at || (a.key < b.key ? 1 : -1));
  const shown = narrowed(rows, { text, severity, state, vault });
  const more = async () => {
    const before = rows.at(-1)?.at ?? 0;
    // one second more: several of one second may lie on both sides of the page's end
    const asking = { query: { before: before + 1, limit: PAGE } };
    const found = await get<Older[]>(ofOrganization("alerts"), asking);
    const known = new Set(rows.map(({ key }) => key));
    const fresh = found.filter(({ id }) => !known.has(id));
    setOlder(last => [...last, ...fresh.map(rowOf)]);
    setEnd(!fresh.length);
  };
  return (
    <div class="stack">
      <Stale freshness={live.freshness.value} />
      <Card title="Alerts" flush aside={summary(rows.length, shown.length)}>
        <div class="toolbar">
          <Search label="Find alerts" value={text} change={q => setQuery({ q })} />
          <Select
            aria-label="Severity"
            value={severity}
            change={value => setQuery({ severity: value })}
            options={[
              ["", "Any severity"],
              ["critical", "Critical"],
              ["warning", "Warning"],
              ["info", "Info"],
            ]}
          />
          <Select
            aria-label="State"
            value={state}
            change={value => setQuery({ state: value })}
            options={[
              ["", "Any state"],
              ["open", "Not acknowledged"],
              ["seen", "Acknowledged"],
            ]}
          />
          <Select
            aria-label="Agent"
            value={vault}
            change={value => setQuery({ vault: value })}
            options={[["", "Any agent"], ...vaultsOf(rows)]}
          />
        </div>
        {shown.length ? (
          <ul class="alerts" aria-label="Alerts">
            {shown.map(row => (
              <One key={row.key} row={row} />
            ))}
          </ul>
        ) : (
          <Empty icon="bell" title={rows.length ? "No alert fits" : "No alerts"}>
            {rows.length ? "Try fewer filters." : "That is how it should be."}
          </Empty>
        )}
        {!isEnd && rows.length >= PAGE && (
          <p class="line">
            <Button onClick={() => more().catch(thrown => toastError(asApiError(thrown)))}>
              Older ones
            </Button>
          </p>
        )}
      </Card>
    </div>
  );
}

function One({ row }: { row: Row }) {
  const [asks, setAsks] = useState(false);
  const isSeen = row.acknowledged_at > 0;
  return (
    <li class={isSeen ? "seen" : ""}>
      <State of={row.severity} filled={row.severity === "critical"} />
      <div class="what">
        <p class="line">
          <b>{words(row.code)}</b>
          {row.vault && <a href={within(`/agents/${row.vault}`)}>{row.vault}</a>}
        </p>
        <p>{row.message}</p>
        {row.note && <p class="note">{row.note}</p>}
      </div>
      <div class="when">
        <TimeAgo at={row.at} />
        {isSeen && (
          <span class="muted">
            {row.acknowledged_by}, <TimeAgo at={row.acknowledged_at} />
          </span>
        )}
        {!isSeen && may("operator") && (
          <Button onClick={() => setAsks(true)} aria-label={`Acknowledge: ${row.message}`}>
            Acknowledge…
          </Button>
        )}
      </div>
      {asks && <Acknowledge row={row} close={() => setAsks(false)} />}
    </li>
  );
}

function Acknowledge({ row, close }: { row: Row; close: () => void }) {
  const [note, setNote] = useState("");
  const act = async () => {
    await post(ofOrganization(`alerts/${row.key}/acknowledge`), { note });
    toast("Acknowledged");
  };
  return (
    <Dialog title="Acknowledge it?" action="Acknowledge" act={act} close={close}>
      <p>{row.message}</p>
      <Field
        label="Note"
        hint="Why it came, what was done. It may stay empty."
        value={note}
        change={setNote}
        maxLength={1024}
      />
    </Dialog>
  );
}

function vaultsOf(rows: readonly Row[]): [string, string][] {
  const names = [...new Set(rows.map(({ vault }) => vault))].filter(Boolean).sort();
  return names.map(name => [name, name]);
}

function summary(all: number, shown: number): string {
  return all === shown ? plural(all, "alert") : `${count(shown)} of ${count(all)}`;
}
