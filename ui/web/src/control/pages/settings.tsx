import { useState } from "preact/hooks";
import { Card, DescriptionList } from "../../components/card";
import { Page } from "../../components/page";
import { currentUser } from "../../lib/session";
import { Appearance } from "./settings/appearance";
import { ChangePassword } from "./settings/password";
import { SecondFactor } from "./settings/second-factor";
import { SessionsCard } from "./settings/sessions";

/** One's own account, and how this browser shows things. */
export default function Settings() {
  const [ended, setEnded] = useState(0); // how often what was signed in elsewhere has ended
  return (
    <Page title="Settings">
      <div class="stack">
        <div class="masonry">
          <Account />
          <Appearance />
          <SecondFactor onReplaced={() => setEnded(ended + 1)} />
          <ChangePassword />
        </div>
        <SessionsCard key={ended} />
      </div>
    </Page>
  );
}

function Account() {
  const mine = currentUser.value;
  if (!mine) return null;
  const others = mine.organizations.filter(({ id }) => id !== mine.home);
  return (
    <Card title="Account">
      <DescriptionList
        rows={[
          ["Name", mine.name],
          ["Organization", mine.home],
          ["Acts in", `${mine.organization} as ${mine.super_admin ? "super-admin" : mine.role}`],
          ["Member of", others.map(({ id, role }) => `${id} (${role})`).join(", ") || "no other"],
        ]}
      />
    </Card>
  );
}
