import { useEffect, useState } from "preact/hooks";
import { compact, millis } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import { ofOrganization } from "../../lib/session";
import type { AgentRow } from "../../lib/types";
import { Card } from "../../parts/card";
import { Chart } from "../../parts/chart";
import { type Course, extended, past, type Sample } from "./course";

const HOUR = 3600; // seconds
const NOTHING: Course = { times: [], requests: [], errors: [], p99: [] };

interface CurvesProps {
  vault: string;
  /** When the agent measured last, Unix seconds. */
  at: number;
  row: AgentRow;
}

/** The last hour of one agent from the store, and on from there with what comes live. */
export function Curves({ vault, at, row }: CurvesProps) {
  const [since] = useState(() => Math.floor(Date.now() / 1000) - HOUR);
  const path = ofOrganization(`agents/${vault}/metrics/samples`);
  const requests = useGet<Sample[]>(path, { name: "requests", since });
  const errors = useGet<Sample[]>(path, { name: "server_errors", since });
  const p99 = useGet<Sample[]>(path, { name: "request_duration_p99_us", since });
  const ready = [requests, errors, p99].every(({ loading }) => !loading);
  const [course, setCourse] = useState(NOTHING);
  useEffect(() => {
    if (ready) setCourse(past(requests.data ?? [], errors.data ?? [], p99.data ?? []));
  }, [ready, requests.data, errors.data, p99.data]);
  useEffect(() => {
    if (ready) setCourse(last => extended(last, at, row));
  }, [ready, at, row]);
  return (
    <div class="columns">
      <Card title="Requests a second">
        <Chart
          label="Requests a second"
          times={course.times}
          span={HOUR}
          lines={[{ title: "Requests", values: course.requests }]}
          format={compact}
        />
      </Card>
      <Card title="Server errors a second">
        <Chart
          label="Server errors a second"
          times={course.times}
          span={HOUR}
          lines={[{ title: "Errors", values: course.errors }]}
          format={compact}
        />
      </Card>
      <Card title="Latency">
        <Chart
          label="Latency"
          times={course.times}
          span={HOUR}
          lines={[{ title: "p99", values: course.p99 }]}
          format={millis}
        />
      </Card>
    </div>
  );
}
