import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { Chart } from "../../../components/chart";
import { SelectField } from "../../../components/field";
import { FieldGrid } from "../../../components/form";
import { Await, EmptyState, Notice } from "../../../components/states";
import { Timestamp } from "../../../components/time";
import { saveFile } from "../../../lib/download";
import { formatBytes, formatCompact, humanize, pluralize } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { query, setQuery } from "../../../lib/router";
import { organizationPath } from "../../../lib/session";
import type { Forecast } from "./api-types";
import { usageQuery } from "./filters";
import { forecastCsv, forecastSeries } from "./series";

const DEFAULT_DAYS = "90";
const FORECAST_PERIODS = [
  ["30", "30 days"],
  ["90", "90 days"],
  ["180", "180 days"],
  ["365", "1 year"],
] as const;

/** Storage and load with a forecast and its 90 % band. */
export function CapacityTab() {
  const ahead =
    FORECAST_PERIODS.find(([days]) => days === query.value.get("ahead"))?.[0] ?? DEFAULT_DAYS;
  const { vault } = usageQuery();
  const result = useGet<Forecast[]>(organizationPath("capacity"), {
    days: ahead,
    ...(vault ? { vault } : {}),
  });
  return (
    <div class="stack">
      <FieldGrid>
        <SelectField
          label="Forecast period"
          value={ahead}
          onChange={days => setQuery({ ahead: days === DEFAULT_DAYS ? "" : days })}
          options={FORECAST_PERIODS}
        />
      </FieldGrid>
      <Await query={result}>
        {all =>
          all.length ? (
            <>
              <div class="columns">
                {all.map(one => (
                  <ForecastCard key={one.name} forecast={one} />
                ))}
              </div>
              <ExportButtons all={all} />
            </>
          ) : (
            <EmptyState icon="chart" title="No data yet" />
          )
        }
      </Await>
    </div>
  );
}

function ForecastCard({ forecast }: { forecast: Forecast }) {
  const format = forecast.unit === "bytes" ? formatBytes : formatCompact;
  const title =
    forecast.name === "requests"
      ? "Requests per hour"
      : humanize(forecast.name.replace("_bytes", ""));
  const { band, expected, history, times } = forecastSeries(forecast);
  return (
    <Card title={title} aside={forecast.enough && `+${format(forecast.per_day)} per day`}>
      <div class="stack">
        {!forecast.enough && <Notice tone="info">No forecast: {forecast.reason}.</Notice>}
        {forecast.full_at && (
          <Notice tone="warn">
            At this rate the disk is full around <Timestamp at={forecast.full_at} />.
          </Notice>
        )}
        {times.length ? (
          <Chart
            label={title}
            daily
            height={180}
            format={format}
            times={times}
            series={[
              { title: "Measured", values: history },
              ...(forecast.enough ? [{ title: "Expected", values: expected, dashed: true }] : []),
            ]}
            {...(forecast.enough ? { band: { title: "90 % band", ...band } } : {})}
          />
        ) : (
          <p class="muted">No measurements yet.</p>
        )}
        {forecast.points > 0 && (
          <p class="muted">
            Based on {pluralize(forecast.points, "daily mean")}
            {forecast.weekly && " and the weekday"}.
          </p>
        )}
      </div>
    </Card>
  );
}

function ExportButtons({ all }: { all: Forecast[] }) {
  const json = () => saveFile("capacity.json", "application/json", JSON.stringify(all, null, 2));
  return (
    <div class="line">
      <Button onClick={() => saveFile("capacity.csv", "text/csv", forecastCsv(all))}>
        Export CSV
      </Button>
      <Button onClick={json}>Export JSON</Button>
    </div>
  );
}
