import { Page } from "../../components/page";
import { type Tab, Tabs } from "../../components/tabs";
import { hasRole, organization } from "../../lib/session";
import { IdentityProviderTab } from "./people/identity-provider";
import { InvitationsTab } from "./people/invitations";
import { MembersTab } from "./people/members";
import { OrganizationTab } from "./people/organization";
import { ApiTokensTab } from "./people/tokens";

/** Who belongs to the organization, as what, and how they come in. */
export default function People() {
  return (
    <Page title="People">
      <div class="stack">
        <Tabs key={organization.value} label="About people" tabs={tabs()} />
      </div>
    </Page>
  );
}

function tabs(): Tab[] {
  const result = [
    { name: "members", title: "Members", content: () => <MembersTab /> },
    { name: "tokens", title: "API tokens", content: () => <ApiTokensTab /> },
  ];
  if (hasRole("admin")) {
    result.splice(1, 0, {
      name: "invitations",
      title: "Invitations",
      content: () => <InvitationsTab />,
    });
    result.push({
      name: "provider",
      title: "Identity provider",
      content: () => <IdentityProviderTab />,
    });
  }
  if (hasRole("owner"))
    result.push({ name: "rules", title: "Organization", content: () => <OrganizationTab /> });
  return result;
}
