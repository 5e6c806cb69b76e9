import { useState } from "preact/hooks";
import { Card, DescriptionList } from "../../components/card";
import { SelectField } from "../../components/field";
import { FieldGrid } from "../../components/form";
import { Page } from "../../components/page";
import { now } from "../../lib/clock";
import { currentUser } from "../../lib/session";
import { setTheme, type Theme, theme } from "../../lib/theme";
import { formatTime, setTimeZone, type TimeZone, timeZone } from "../../lib/time-zone";
import { ChangePassword } from "./settings/password";
import { SecondFactor } from "./settings/second-factor";
import { SessionsCard } from "./settings/sessions";

/** The account and the settings of this browser. */
export default function Settings() {
  const [ended, setEnded] = useState(0); // remounts the sessions after they have ended
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
  const user = currentUser.value;
  if (!user) return null;
  const others = user.organizations.filter(({ id }) => id !== user.home);
  return (
    <Card title="Account">
      <DescriptionList
        rows={[
          ["Name", user.name],
          ["Organization", user.home],
          [
            "Current organization",
            `${user.organization} as ${user.super_admin ? "super-admin" : user.role}`,
          ],
          ["Member of", others.map(({ id, role }) => `${id} (${role})`).join(", ") || "–"],
        ]}
      />
    </Card>
  );
}

const THEMES = [
  ["system", "System"],
  ["light", "Light"],
  ["dark", "Dark"],
] as const;
const ZONES = [
  ["local", "Local time zone"],
  ["utc", "UTC"],
] as const;

/** Theme and time zone. Stored in this browser. */
export function Appearance() {
  return (
    <Card title="Appearance">
      <FieldGrid>
        <SelectField
          label="Theme"
          value={theme.value}
          onChange={chosen => setTheme(chosen as Theme)}
          options={THEMES}
        />
        <SelectField
          label="Time zone"
          hint={`Current time: ${formatTime(now.value)}. Stored in this browser.`}
          value={timeZone.value}
          onChange={chosen => setTimeZone(chosen as TimeZone)}
          options={ZONES}
        />
      </FieldGrid>
    </Card>
  );
}
