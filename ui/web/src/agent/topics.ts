import type { Collection } from "../lib/collection";
import { useLive } from "../lib/hooks";

/** Follow a topic of this agent, for as long as the component is there. */
export const useTopic = <Row extends object>(topic: string): Collection<Row> =>
  useLive<Row>(topic, "");

/** The one row of a topic that has one; null: not told yet. */
export function useTopicRow<Row extends object>(topic: string): [Row | null, Collection<Row>] {
  const live = useTopic<Row>(topic);
  live.version.value;
  return [live.rows.get("now") ?? null, live];
}
