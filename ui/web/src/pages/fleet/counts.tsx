import type { ReadonlySignal } from "@preact/signals";
import type { Collection } from "../../lib/collection";
import { compact, count, millis, percent } from "../../lib/format";
import { within } from "../../lib/session";
import type { AlertRow, CurveRow } from "../../lib/types";
import { State } from "../../parts/badge";
import { Figure, Figures } from "../../parts/card";
import type { Summary } from "./rows";

const SHOWN = ["online", "degraded", "late", "offline", "sealed", "refusing"];
/** The others are there when an agent is so. */
const ALWAYS = new Set(["online", "late", "offline"]);

interface CountsProps {
  summary: ReadonlySignal<Summary>;
  curves: Collection<CurveRow>;
  alerts: Collection<AlertRow>;
}

/** The numbers one looks at first. Those of states narrow the list to them. */
export function Counts({ curves, alerts, ...props }: CountsProps) {
  const summary = props.summary.value;
  curves.version.value;
  alerts.version.value;
  const { states, policies, total } = summary;
  const last = newest(curves);
  const rows = alerts.list();
  const firing = rows.filter(alert => alert.state === "firing");
  const critical = firing.filter(alert => alert.severity === "critical").length;
  const seen = rows.filter(alert => alert.state === "acknowledged").length;
  const assigned = Object.values(policies).reduce((sum, each) => sum + each, 0);
  return (
    <Figures>
      <Figure label="Agents" value={count(total)} note={`${compact(summary.secrets)} secrets`} />
      {SHOWN.filter(state => ALWAYS.has(state) || states[state]).map(state => (
        <Figure
          key={state}
          label={<State of={state} />}
          value={count(states[state] ?? 0)}
          note={percent(total ? (states[state] ?? 0) / total : null)}
          href={within(`/?state=${state}`)}
        />
      ))}
      <Figure
        label="Policies applied"
        value={assigned ? Math.floor((100 * (policies.applied ?? 0)) / assigned) : "–"}
        unit={assigned ? "%" : ""}
        note={standing(policies)}
      />
      <Figure
        label="Requests"
        value={compact(last?.requests)}
        unit="/s"
        note={last?.requests ? `${share(last)} errors` : "none now"}
      />
      <Figure label="Latency p99" value={millis(last?.p99)} note={`p50 ${millis(last?.p50)}`} />
      <Figure
        label="Alerts firing"
        value={count(firing.length)}
        note={`${count(critical)} critical${seen ? `, ${count(seen)} acknowledged` : ""}`}
        href={within("/alerts?state=firing")}
      />
    </Figures>
  );
}

function standing({ failed = 0, wanted = 0, unknown = 0 }: Record<string, number>): string {
  const told = [`${count(failed)} failed`];
  if (wanted) told.push(`${count(wanted)} due`);
  if (unknown) told.push(`${count(unknown)} unknown`);
  return told.join(", ");
}

function newest(curves: Collection<CurveRow>): CurveRow | undefined {
  const at = [...curves.rows.keys()].reduce((most, key) => Math.max(most, Number(key)), 0);
  return curves.rows.get(String(at));
}

function share(row: CurveRow | undefined): string {
  return percent(row?.requests ? (row.errors ?? 0) / row.requests : null);
}
