import { useEffect, useState } from "preact/hooks";
import { Card } from "../../../components/card";
import { Chart } from "../../../components/chart";
import type { AgentRow } from "../../../lib/api-types";
import { formatCompact, formatMillis } from "../../../lib/format";
import { useGet } from "../../../lib/hooks";
import { organizationPath } from "../../../lib/session";
import { appendSample, type MetricSeries, type Sample, seriesFromSamples } from "./series";

const HOUR = 3600; // seconds
const NO_SERIES: MetricSeries = { times: [], requests: [], errors: [], p99: [] };

interface AgentChartsProps {
  vault: string;
  /** Unix seconds of the newest measurement. */
  measuredAt: number;
  row: AgentRow;
}

/** The last hour of an agent, from stored samples and then live. */
export function AgentCharts({ vault, measuredAt, row }: AgentChartsProps) {
  const [since] = useState(() => Math.floor(Date.now() / 1000) - HOUR);
  const path = organizationPath(`agents/${vault}/metrics/samples`);
  const requests = useGet<Sample[]>(path, { name: "requests", since });
  const errors = useGet<Sample[]>(path, { name: "server_errors", since });
  const p99 = useGet<Sample[]>(path, { name: "request_duration_p99_us", since });
  const ready = [requests, errors, p99].every(({ loading }) => !loading);
  const [series, setCourse] = useState(NO_SERIES);
  useEffect(() => {
    if (ready) setCourse(seriesFromSamples(requests.data ?? [], errors.data ?? [], p99.data ?? []));
  }, [ready, requests.data, errors.data, p99.data]);
  useEffect(() => {
    if (ready) setCourse(last => appendSample(last, measuredAt, row));
  }, [ready, measuredAt, row]);
  return (
    <div class="columns">
      <Card title="Requests per second">
        <Chart
          label="Requests per second"
          times={series.times}
          span={HOUR}
          series={[{ title: "Requests", values: series.requests }]}
          format={formatCompact}
        />
      </Card>
      <Card title="Server errors per second">
        <Chart
          label="Server errors per second"
          times={series.times}
          span={HOUR}
          series={[{ title: "Errors", values: series.errors }]}
          format={formatCompact}
        />
      </Card>
      <Card title="Latency">
        <Chart
          label="Latency"
          times={series.times}
          span={HOUR}
          series={[{ title: "p99", values: series.p99 }]}
          format={formatMillis}
        />
      </Card>
    </div>
  );
}
