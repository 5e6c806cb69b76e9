import { useComputed } from "@preact/signals";
import { LiveIndicator } from "../../components/live-indicator";
import { Page } from "../../components/page";
import { EmptyState, ErrorState, Loading, StaleNotice } from "../../components/states";
import type { AgentRow, AlertRow, FleetSample } from "../../lib/api-types";
import { useLive } from "../../lib/hooks";
import { currentUser, hasRole, inOrganization, organization } from "../../lib/session";
import { currentAgents, summarize } from "./fleet/agent-rows";
import { AgentTable } from "./fleet/agent-table";
import { FleetCharts } from "./fleet/charts";
import { AgentGroups, LargestOrganizations } from "./fleet/groups";
import { RecentChanges } from "./fleet/recent-changes";
import { SecondFactorNotice } from "./fleet/second-factor-notice";
import { SharedVaults } from "./fleet/shared-vaults";
import { FleetStats } from "./fleet/stats";

/** The fleet of an organization, live. */
export default function Fleet() {
  const org = organization.value;
  const fleet = useLive<AgentRow>("fleet", org);
  const curves = useLive<FleetSample>("curves", org);
  const alerts = useLive<AlertRow>("alerts", org);
  const rows = useComputed(() => {
    fleet.version.value; // rows change in place with the version
    return currentAgents(fleet);
  });
  const summary = useComputed(() => summarize(rows.value));
  const isEmpty = useComputed(() => !rows.value.length); // avoids rendering the page for each change
  const error = fleet.error.value;
  if (error) return <ErrorState error={error} />;
  if (fleet.freshness.value === "loading") return <Loading label="Loading the fleet" />;
  const everywhere = currentUser.value?.super_admin && <LargestOrganizations />;
  return (
    <Page
      title="Fleet"
      state={<LiveIndicator />}
      actions={
        hasRole("operator") && (
          <a class="button plain" href={inOrganization("/enrolment")}>
            Enrol agent…
          </a>
        )
      }
    >
      <div class="stack">
        <SecondFactorNotice />
        <StaleNotice freshness={fleet.freshness.value} />
        {!isEmpty.value ? (
          <>
            <FleetStats summary={summary} samples={curves} alerts={alerts} />
            <FleetCharts samples={curves} />
            <div class="with-sidebar">
              <div class="stack">
                <SharedVaults rows={rows} />
                <AgentTable rows={rows} summary={summary} />
              </div>
              <div class="columns">
                {hasRole("admin") && <RecentChanges org={org} />}
                <AgentGroups summary={summary} />
                {everywhere}
              </div>
            </div>
          </>
        ) : (
          <>
            <EmptyState icon="fleet" title="No agents yet">
              Enrol an agent to see it here.
            </EmptyState>
            {everywhere}
          </>
        )}
      </div>
    </Page>
  );
}
