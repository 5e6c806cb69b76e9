import { useMemo } from "preact/hooks";
import { Card } from "../../../components/card";
import { Chart } from "../../../components/chart";
import type { FleetSample } from "../../../lib/api-types";
import type { Collection } from "../../../lib/collection";
import { formatCompact, formatCount, formatMillis } from "../../../lib/format";
import { fleetSeries } from "./agent-rows";

const HOUR = 3600; // seconds; the server keeps as many samples

/** Requests, errors, latency and presence of the whole fleet over the last hour. */
export function FleetCharts({ samples }: { samples: Collection<FleetSample> }) {
  const version = samples.version.value;
  // rows change in place with the version
  const { times, ...course } = useMemo(() => fleetSeries(samples), [samples, version]);
  return (
    <div class="columns tight">
      <Card title="Requests per second">
        <Chart
          label="Requests per second"
          times={times}
          span={HOUR}
          series={[{ title: "Requests", values: course.requests }]}
          format={formatCompact}
        />
      </Card>
      <Card title="Server errors per second">
        <Chart
          label="Server errors per second"
          times={times}
          span={HOUR}
          series={[{ title: "Errors", values: course.errors }]}
          format={formatCompact}
        />
      </Card>
      <Card title="Latency">
        <Chart
          label="Latency"
          times={times}
          span={HOUR}
          series={[
            { title: "p50", values: course.p50 },
            { title: "p99", values: course.p99 },
          ]}
          format={formatMillis}
        />
      </Card>
      <Card title="Agents online">
        <Chart
          label="Agents online"
          times={times}
          span={HOUR}
          series={[{ title: "Online", values: course.online }]}
          format={formatCount}
        />
      </Card>
    </div>
  );
}
