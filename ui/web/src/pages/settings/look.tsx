import { now } from "../../lib/clock";
import { chooseTheme, type Theme, theme } from "../../lib/theme";
import { chooseZone, shownMoment, type Zone, zone } from "../../lib/zone";
import { Card } from "../../parts/card";
import { Choice } from "../../parts/field";
import { Fields } from "../../parts/form";

const THEMES = [
  ["system", "As the system"],
  ["light", "Light"],
  ["dark", "Dark"],
] as const;
const ZONES = [
  ["local", "My time zone"],
  ["utc", "UTC"],
] as const;

/** How things are shown here; kept in this browser alone. */
export function Look() {
  return (
    <Card title="This browser">
      <Fields>
        <Choice
          label="Theme"
          value={theme.value}
          change={chosen => chooseTheme(chosen as Theme)}
          options={THEMES}
        />
        <Choice
          label="Exact times in"
          hint={`It is ${shownMoment(now.value)}.`}
          value={zone.value}
          change={chosen => chooseZone(chosen as Zone)}
          options={ZONES}
        />
      </Fields>
    </Card>
  );
}
