import { useTopic } from "../../agent/live";
import type { ActorNode } from "../../lib/types";
import { LinkState } from "../../parts/linkstate";
import { Page } from "../../parts/page";
import { Failure, Loading, Stale } from "../../parts/states";
import { Tree } from "../agent/tree";

/** The agent's actors as they stand under their supervisors, live. */
export default function Actors() {
  const live = useTopic<ActorNode>("actors");
  live.version.value;
  if (live.error.value) return <Failure error={live.error.value} />;
  if (live.freshness.value === "loading") return <Loading />;
  return (
    <Page title="Actors" state={<LinkState />}>
      <div class="stack">
        <Stale freshness={live.freshness.value} />
        <Tree tree={{ at: Date.now() / 1000, nodes: live.list() }} />
      </div>
    </Page>
  );
}
