import { Card } from "../../../components/card";
import { SelectField } from "../../../components/field";
import { FieldGrid } from "../../../components/form";
import { now } from "../../../lib/clock";
import { setTheme, type Theme, theme } from "../../../lib/theme";
import { formatTime, setTimeZone, type TimeZone, timeZone } from "../../../lib/time-zone";

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
