import { Select } from "../../../components/field";
import type { AgentRow } from "../../../lib/api-types";
import { now } from "../../../lib/clock";
import { useLive } from "../../../lib/hooks";
import { query, setQuery } from "../../../lib/router";
import { organization } from "../../../lib/session";

const DAY = 86_400; // seconds
const HOUR = 3_600_000; // milliseconds
const DEFAULT_PERIOD = "30";
const PERIODS = [
  ["7", "7 days"],
  ["30", "30 days"],
  ["90", "90 days"],
  ["365", "1 year"],
] as const;

/** Agent and period. Both are in the address, for all tabs. */
export function UsageFilters() {
  const fleet = useLive<AgentRow>("fleet", organization.value);
  fleet.version.value;
  const agents = [...fleet.rows.keys()].sort();
  const { vault = "" } = usageQuery();
  if (vault && !agents.includes(vault)) agents.unshift(vault);
  return (
    <>
      <Select
        aria-label="Agent"
        value={vault}
        onChange={chosen => setQuery({ vault: chosen })}
        options={[["", "All agents"], ...agents.map(name => [name, name] as const)]}
      />
      <Select
        aria-label="Period"
        value={selectedPeriod()}
        onChange={span => setQuery({ span: span === DEFAULT_PERIOD ? "" : span })}
        options={PERIODS}
      />
    </>
  );
}

/** The API's query. `since` is a whole hour, so that a page reloads at most once an hour. */
export function usageQuery(): { vault?: string; since: number } {
  const hour = Math.floor(now.peek() / HOUR) * (HOUR / 1000);
  const vault = query.value.get("vault");
  const since = hour - Number(selectedPeriod()) * DAY;
  return vault ? { vault, since } : { since };
}

function selectedPeriod(): string {
  const span = query.value.get("span");
  return PERIODS.find(([days]) => days === span)?.[0] ?? DEFAULT_PERIOD;
}
