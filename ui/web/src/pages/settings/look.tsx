import { now } from "../../lib/clock";
import { setTheme, type Theme, theme } from "../../lib/theme";
import { formatTime, setTimeZone, type TimeZone, timeZone } from "../../lib/zone";
import { Card } from "../../parts/card";
import { SelectField } from "../../parts/field";
import { FieldGrid } from "../../parts/form";

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
export function Appearance() {
  return (
    <Card title="This browser">
      <FieldGrid>
        <SelectField
          label="Theme"
          value={theme.value}
          onChange={chosen => setTheme(chosen as Theme)}
          options={THEMES}
        />
        <SelectField
          label="Exact times in"
          hint={`It is ${formatTime(now.value)}.`}
          value={timeZone.value}
          onChange={chosen => setTimeZone(chosen as TimeZone)}
          options={ZONES}
        />
      </FieldGrid>
    </Card>
  );
}
