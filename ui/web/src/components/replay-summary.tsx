import { formatCount } from "../lib/format";
import { Stat, StatRow } from "./card";

/** Values in hours. */
export const REPLAY_PERIODS = [
  ["1", "Last hour"],
  ["24", "Last 24 hours"],
  ["168", "Last 7 days"],
  ["720", "Last 30 days"],
] as const;

interface ReplayCounts {
  accesses: number;
  unchanged: number;
  denied: number;
  allowed: number;
  drifted: number;
}

/** The counts of a policy replay. */
export function ReplaySummary({ counts, undecided }: { counts: ReplayCounts; undecided: number }) {
  return (
    <StatRow>
      <Stat label="Newly denied" value={formatCount(counts.denied)} note="accesses" />
      <Stat label="Newly allowed" value={formatCount(counts.allowed)} note="accesses" />
      <Stat
        label="Unchanged"
        value={formatCount(counts.unchanged)}
        note={`of ${formatCount(counts.accesses)}${counts.drifted ? `; ${formatCount(counts.drifted)} originally decided by other policies` : ""}`}
      />
      <Stat label="Not evaluated" value={formatCount(undecided)} note="accesses" />
    </StatRow>
  );
}
