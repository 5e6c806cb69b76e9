import { ActorTree } from "../../components/actor-tree";
import { LiveIndicator } from "../../components/live-indicator";
import { Page } from "../../components/page";
import { ErrorState, Loading, StaleNotice } from "../../components/states";
import type { ActorNode } from "../../lib/api-types";
import { useTopic } from "../topics";

/** The agent's supervision tree, live. */
export default function Actors() {
  const live = useTopic<ActorNode>("actors");
  live.version.value;
  if (live.error.value) return <ErrorState error={live.error.value} />;
  if (live.freshness.value === "loading") return <Loading />;
  return (
    <Page title="Actors" state={<LiveIndicator />}>
      <div class="stack">
        <StaleNotice freshness={live.freshness.value} />
        <ActorTree tree={{ at: Date.now() / 1000, nodes: live.list() }} />
      </div>
    </Page>
  );
}
