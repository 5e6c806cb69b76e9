import type { Collection } from "../lib/collection";
import { useLive } from "../lib/hooks";

/** Subscribe to a topic of this agent's live feed while the component is mounted. */
export const useTopic = <Row extends object>(topic: string): Collection<Row> =>
  useLive<Row>(topic, "");

/** The single row of a topic, and its collection. Null until the first snapshot. */
export function useTopicRow<Row extends object>(topic: string): [Row | null, Collection<Row>] {
  const live = useTopic<Row>(topic);
  live.version.value;
  return [live.rows.get("now") ?? null, live];
}
