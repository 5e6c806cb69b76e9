import { may, organization } from "../lib/session";
import { Page } from "../parts/page";
import { type Tab, Tabs } from "../parts/tabs";
import { Invitations } from "./people/invitations";
import { Members } from "./people/members";
import { Provider } from "./people/provider";
import { Rules } from "./people/rules";
import { Tokens } from "./people/tokens";

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
  const found = [
    { name: "members", title: "Members", content: () => <Members /> },
    { name: "tokens", title: "API tokens", content: () => <Tokens /> },
  ];
  if (may("admin")) {
    found.splice(1, 0, {
      name: "invitations",
      title: "Invitations",
      content: () => <Invitations />,
    });
    found.push({ name: "provider", title: "Identity provider", content: () => <Provider /> });
  }
  if (may("owner")) found.push({ name: "rules", title: "Organization", content: () => <Rules /> });
  return found;
}
