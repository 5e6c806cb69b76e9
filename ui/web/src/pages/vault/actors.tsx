import { useTopic } from "../../agent/live";
import type { ActorNode } from "../../lib/types";
import { LiveIndicator } from "../../parts/linkstate";
import { Page } from "../../parts/page";
import { ErrorState, Loading, StaleNotice } from "../../parts/states";
import { ActorTree } from "../agent/tree";

/** The agent's actors as they stand under their supervisors, live. */
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
