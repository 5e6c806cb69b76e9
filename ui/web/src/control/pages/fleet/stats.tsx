import type { ReadonlySignal } from "@preact/signals";
import { StatusBadge } from "../../../components/badge";
import { Stat, StatRow } from "../../../components/card";
import type { AlertRow, FleetSample } from "../../../lib/api-types";
import type { Collection } from "../../../lib/collection";
import {
  formatCompact,
  formatCount,
  formatMillis,
  formatPercent,
  pluralize,
} from "../../../lib/format";
import { inOrganization } from "../../../lib/session";
import type { FleetSummary } from "./agent-rows";

const STATES = ["online", "degraded", "late", "offline", "sealed", "refusing"];
/** Other states are shown if an agent is in them. */
const ALWAYS_SHOWN = new Set(["online", "late", "offline"]);

interface FleetStatsProps {
  summary: ReadonlySignal<FleetSummary>;
  samples: Collection<FleetSample>;
  alerts: Collection<AlertRow>;
}

/** Key figures of the fleet. A state's figure filters the table. */
export function FleetStats({ samples, alerts, ...props }: FleetStatsProps) {
  const summary = props.summary.value;
  samples.version.value;
  alerts.version.value;
  const { states, policies, total, rotations, rotationsOwed } = summary;
  const last = latestSample(samples);
  const rows = alerts.list();
  const firing = rows.filter(alert => alert.state === "firing");
  const critical = firing.filter(alert => alert.severity === "critical").length;
  const seen = rows.filter(alert => alert.state === "acknowledged").length;
  const assigned = Object.values(policies).reduce((sum, each) => sum + each, 0);
  return (
    <StatRow>
      <Stat label="Agents" value={formatCount(total)} note={sizeNote(summary)} />
      {STATES.filter(state => ALWAYS_SHOWN.has(state) || states[state]).map(state => (
        <Stat
          key={state}
          label={<StatusBadge status={state} />}
          value={formatCount(states[state] ?? 0)}
          note={formatPercent(total ? (states[state] ?? 0) / total : null)}
          href={inOrganization(`/?state=${state}`)}
        />
      ))}
      <Stat
        label="Policies applied"
        value={assigned ? Math.floor((100 * (policies.applied ?? 0)) / assigned) : "–"}
        unit={assigned ? "%" : ""}
        note={policyNote(policies)}
      />
      <Stat
        label="Requests"
        value={formatCompact(last?.requests)}
        unit="/s"
        note={last?.requests ? `${errorShare(last)} errors` : "No requests now"}
      />
      <Stat
        label="Latency p99"
        value={formatMillis(last?.p99)}
        note={`p50 ${formatMillis(last?.p50)}`}
      />
      {Object.keys(rotations).length > 0 && (
        <Stat
          label="Rotation debt"
          value={formatCount(rotationsOwed)}
          note={rotationsOwed ? "Overdue or stuck" : "Nothing overdue"}
          href={inOrganization(`/?rotation=${rotations.stuck ? "stuck" : "overdue"}`)}
        />
      )}
      <Stat
        label="Alerts firing"
        value={formatCount(firing.length)}
        note={`${formatCount(critical)} critical${seen ? `, ${formatCount(seen)} acknowledged` : ""}`}
        href={inOrganization("/alerts?state=firing")}
      />
    </StatRow>
  );
}

function policyNote({ failed = 0, wanted = 0, unknown = 0 }: Record<string, number>): string {
  const text = [`${formatCount(failed)} failed`];
  if (wanted) text.push(`${formatCount(wanted)} pending`);
  if (unknown) text.push(`${formatCount(unknown)} unknown`);
  return text.join(", ");
}

function latestSample(curves: Collection<FleetSample>): FleetSample | undefined {
  const at = [...curves.rows.keys()].reduce((most, key) => Math.max(most, Number(key)), 0);
  return curves.rows.get(String(at));
}

function errorShare(row: FleetSample | undefined): string {
  return formatPercent(row?.requests ? (row.errors ?? 0) / row.requests : null);
}

/** Vaults are named where several agents share one. */
function sizeNote({ total, vaults, secrets }: FleetSummary): string {
  const held = `${formatCompact(secrets)} ${secrets === 1 ? "secret" : "secrets"}`;
  return vaults < total ? `${pluralize(vaults, "vault")}, ${held}` : held;
}
