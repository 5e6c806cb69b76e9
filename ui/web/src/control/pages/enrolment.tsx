import { LiveIndicator } from "../../components/live-indicator";
import { Page } from "../../components/page";
import { hasRole, organization } from "../../lib/session";
import { CreateToken } from "./enrolment/create-token";
import { JoinRequests } from "./enrolment/join-requests";
import { EnrolmentTokens } from "./enrolment/tokens";
import "./enrolment/enrolment.css";

/** Enrolment of agents: by token or by approved request. */
export default function Enrolment() {
  const org = organization.value;
  return (
    <Page title="Enrolment" state={<LiveIndicator />}>
      <div class="stack">
        {hasRole("operator") && <CreateToken key={org} />}
        <JoinRequests />
        <EnrolmentTokens />
      </div>
    </Page>
  );
}
