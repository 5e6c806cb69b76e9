import { count } from "../lib/format";
import { Figure, Figures } from "./card";

/** How far back, in hours. */
export const SPANS = [
  ["1", "The last hour"],
  ["24", "The last day"],
  ["168", "The last 7 days"],
  ["720", "The last 30 days"],
] as const;

interface Counts {
  accesses: number;
  unchanged: number;
  denied: number;
  allowed: number;
  drifted: number;
}

/** What a candidate would have made of the accesses on record. */
export function Counted({ of, undecided }: { of: Counts; undecided: number }) {
  return (
    <Figures>
      <Figure label="No longer allowed" value={count(of.denied)} note="accesses" />
      <Figure label="Newly allowed" value={count(of.allowed)} note="accesses" />
      <Figure
        label="Unchanged"
        value={count(of.unchanged)}
        note={`of ${count(of.accesses)}${of.drifted ? `; ${count(of.drifted)} were decided by other policies then` : ""}`}
      />
      <Figure label="Cannot be decided again" value={count(undecided)} note="accesses" />
    </Figures>
  );
}
