import { useState } from "preact/hooks";
import { post } from "../../lib/api";
import type { Keyed } from "../../lib/collection";
import { count, duration, plural, words } from "../../lib/format";
import { useAct, useLive } from "../../lib/hooks";
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
import { useOlder } from "./older";
import { narrowed, type Older, rowOf } from "./rows";

type Row = Keyed<AlertRow>;

/** The newest live, older ones as they are asked for; the address holds what it is narrowed to. */
export function List() {
  const live = useLive<AlertRow>("alerts", organization.value);
  live.version.value;
  const asked = (name: string) => query.value.get(name) ?? "";
  const [text, severity] = [asked("q"), asked("severity")];
  const [state, vault] = [asked("state"), asked("vault")];
  const filter = { text, severity, state, vault };
  const { rows, more, load, changed } = useOlder(live, filter);
  const { run, busy } = useAct(() => load().catch(toastError));
  if (live.error.value) return <Failure error={live.error.value} />;
  if (live.freshness.value === "loading") return <Loading what="Loading alerts" />;
  const shown = narrowed(rows, filter);
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
              ["open", "Not resolved"],
              ["firing", "Firing"],
              ["acknowledged", "Acknowledged"],
              ["resolved", "Resolved"],
            ]}
          />
          <Select
            aria-label="Agent"
            value={vault}
            change={value => setQuery({ vault: value })}
            options={[["", "Any agent"], ...vaultsOf(rows, vault)]}
          />
        </div>
        {shown.length ? (
          <ul class="alerts" aria-label="Alerts">
            {shown.map(row => (
              <One key={row.key} row={row} changed={changed} />
            ))}
          </ul>
        ) : (
          <Empty icon="bell" title={rows.length ? "No alert fits" : "No alerts"}>
            {rows.length ? "Try fewer filters." : "That is how it should be."}
          </Empty>
        )}
        {more && (
          <p class="line">
            <Button busy={busy} onClick={run}>
              Older ones
            </Button>
          </p>
        )}
      </Card>
    </div>
  );
}

interface OneProps {
  row: Row;
  changed: (row: Row) => void;
}

function One({ row, changed }: OneProps) {
  const [asks, setAsks] = useState(false);
  const isSeen = row.acknowledged_at > 0;
  const isOver = row.state === "resolved";
  return (
    <li class={isSeen || isOver ? "seen" : ""}>
      <div class="states">
        <State of={row.severity} filled={row.severity === "critical" && !isOver} />
        <State of={row.state} />
      </div>
      <div class="what">
        <p class="line">
          <b>{words(row.code)}</b>
          {row.vault && <a href={within(`/agents/${row.vault}`)}>{row.vault}</a>}
        </p>
        <p>{row.message}</p>
        {row.count > 1 && <p class="muted">Reported {count(row.count)} times</p>}
        {row.note && <p class="note">{row.note}</p>}
      </div>
      <div class="when">
        <TimeAgo at={row.at} />
        <span class="muted">
          {isOver ? `lasted ${duration(row.ended_at - row.at)}` : "not resolved"}
        </span>
        {isSeen && (
          <span class="muted">
            {row.acknowledged_by}, <TimeAgo at={row.acknowledged_at} />
          </span>
        )}
        {!isSeen && !isOver && may("operator") && (
          <Button onClick={() => setAsks(true)} aria-label={`Acknowledge: ${row.message}`}>
            Acknowledge…
          </Button>
        )}
      </div>
      {asks && <Acknowledge row={row} close={() => setAsks(false)} changed={changed} />}
    </li>
  );
}

function Acknowledge({ row, close, changed }: OneProps & { close: () => void }) {
  const [note, setNote] = useState("");
  const act = async () => {
    changed(rowOf(await post<Older>(ofOrganization(`alerts/${row.key}/acknowledge`), { note })));
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

function vaultsOf(rows: readonly Row[], asked: string): [string, string][] {
  const names = [...new Set([asked, ...rows.map(({ vault }) => vault)])].filter(Boolean).sort();
  return names.map(name => [name, name]);
}

function summary(all: number, shown: number): string {
  return all === shown ? plural(all, "alert") : `${count(shown)} of ${count(all)}`;
}
