import { useComputed } from "@preact/signals";
import { useLive } from "../lib/hooks";
import { may, me, organization, within } from "../lib/session";
import type { AgentRow, AlertRow, CurveRow } from "../lib/types";
import { LinkState } from "../parts/linkstate";
import { Page } from "../parts/page";
import { Empty, Failure, Loading, Stale } from "../parts/states";
import { Changes } from "./fleet/changes";
import { Counts } from "./fleet/counts";
import { Curves } from "./fleet/curves";
import { Groups, Organizations } from "./fleet/groups";
import { List } from "./fleet/list";
import { listed, summed } from "./fleet/rows";

/** All agents of an organization as of this moment. */
export default function Fleet() {
  const org = organization.value;
  const fleet = useLive<AgentRow>("fleet", org);
  const curves = useLive<CurveRow>("curves", org);
  const alerts = useLive<AlertRow>("alerts", org);
  const rows = useComputed(() => {
    fleet.version.value; // rows change in place with it
    return listed(fleet);
  });
  const summary = useComputed(() => summed(rows.value));
  const isEmpty = useComputed(() => !rows.value.length); // so that not each change draws the page
  const error = fleet.error.value;
  if (error) return <Failure error={error} />;
  if (fleet.freshness.value === "loading") return <Loading what="Loading the fleet" />;
  const everywhere = me.value?.super_admin && <Organizations />;
  return (
    <Page
      title="Fleet"
      state={<LinkState />}
      actions={
        may("operator") && (
          <a class="button plain" href={within("/enrolment")}>
            Enrol an agent…
          </a>
        )
      }
    >
      <div class="stack">
        <Stale freshness={fleet.freshness.value} />
        {!isEmpty.value ? (
          <>
            <Counts summary={summary} curves={curves} alerts={alerts} />
            <Curves of={curves} />
            <div class="beside">
              <List rows={rows} summary={summary} />
              <div class="columns">
                {may("admin") && <Changes org={org} />}
                <Groups summary={summary} />
                {everywhere}
              </div>
            </div>
          </>
        ) : (
          <>
            <Empty icon="fleet" title="No agents yet">
              Agents of this organization appear here when they have enrolled.
            </Empty>
            {everywhere}
          </>
        )}
      </div>
    </Page>
  );
}
