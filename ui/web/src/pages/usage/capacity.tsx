import { bytes, compact, plural, words } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { query, setQuery } from "../../lib/router";
import { save } from "../../lib/save";
import { ofOrganization } from "../../lib/session";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Chart } from "../../parts/chart";
import { Choice } from "../../parts/field";
import { Fields } from "../../parts/form";
import { Await, Empty, Notice } from "../../parts/states";
import { Moment } from "../../parts/time";
import { course, table } from "./course";
import { asked } from "./span";
import type { Forecast } from "./wire";

const USUAL = "90";
const AHEAD = [
  ["30", "30 days"],
  ["90", "90 days"],
  ["180", "Half a year"],
  ["365", "A year"],
] as const;

/** Storage and load: how they went, and where they are going, with the band of 90 %. */
export function Capacity() {
  const ahead = AHEAD.find(([days]) => days === query.value.get("ahead"))?.[0] ?? USUAL;
  const { vault } = asked();
  const found = useGet<Forecast[]>(ofOrganization("capacity"), {
    days: ahead,
    ...(vault ? { vault } : {}),
  });
  return (
    <div class="stack">
      <Fields>
        <Choice
          label="Look ahead"
          value={ahead}
          change={days => setQuery({ ahead: days === USUAL ? "" : days })}
          options={AHEAD}
        />
      </Fields>
      <Await of={found}>
        {all =>
          all.length ? (
            <>
              <div class="columns">
                {all.map(one => (
                  <One key={one.name} of={one} />
                ))}
              </div>
              <Take all={all} />
            </>
          ) : (
            <Empty icon="chart" title="Nothing was told yet" />
          )
        }
      </Await>
    </div>
  );
}

function One({ of }: { of: Forecast }) {
  const format = of.unit === "bytes" ? bytes : compact;
  const title = of.name === "requests" ? "Requests an hour" : words(of.name.replace("_bytes", ""));
  const { band, expected, history, times } = course(of);
  return (
    <Card title={title} aside={of.enough && `${format(of.per_day)} more a day`}>
      <div class="stack">
        {!of.enough && <Notice tone="info">No forecast: {of.reason}.</Notice>}
        {of.full_at && (
          <Notice tone="warn">
            The disk is full about <Moment at={of.full_at} />, if it goes on like this.
          </Notice>
        )}
        {times.length ? (
          <Chart
            label={title}
            daily
            height={180}
            format={format}
            times={times}
            lines={[
              { title: "Measured", values: history },
              ...(of.enough ? [{ title: "Expected", values: expected, dashed: true }] : []),
            ]}
            {...(of.enough ? { band: { title: "90 % band", ...band } } : {})}
          />
        ) : (
          <p class="muted">Nothing was measured yet.</p>
        )}
        {of.points > 0 && (
          <p class="muted">
            From {plural(of.points, "daily mean")}
            {of.weekly && ", by weekday"}. It knows of no plans.
          </p>
        )}
      </div>
    </Card>
  );
}

function Take({ all }: { all: Forecast[] }) {
  const json = () => save("capacity.json", "application/json", JSON.stringify(all, null, 2));
  return (
    <div class="line">
      <Button onClick={() => save("capacity.csv", "text/csv", table(all))}>CSV</Button>
      <Button onClick={json}>JSON</Button>
    </div>
  );
}
