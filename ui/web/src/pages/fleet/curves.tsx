import { useMemo } from "preact/hooks";
import type { Collection } from "../../lib/collection";
import { compact, count, millis } from "../../lib/format";
import type { CurveRow } from "../../lib/types";
import { Card } from "../../parts/card";
import { Chart } from "../../parts/chart";
import { courses } from "./rows";

const HOUR = 3600; // seconds: as many points as the server keeps

/** Requests, times and presence of all agents together, over the last hour. */
export function Curves({ of }: { of: Collection<CurveRow> }) {
  const version = of.version.value;
  // rows change in place with the version
  const { times, ...course } = useMemo(() => courses(of), [of, version]);
  return (
    <div class="columns tight">
      <Card title="Requests a second">
        <Chart
          label="Requests a second"
          times={times}
          span={HOUR}
          lines={[{ title: "Requests", values: course.requests }]}
          format={compact}
        />
      </Card>
      <Card title="Server errors a second">
        <Chart
          label="Server errors a second"
          times={times}
          span={HOUR}
          lines={[{ title: "Errors", values: course.errors }]}
          format={compact}
        />
      </Card>
      <Card title="Latency">
        <Chart
          label="Latency"
          times={times}
          span={HOUR}
          lines={[
            { title: "p50", values: course.p50 },
            { title: "p99", values: course.p99 },
          ]}
          format={millis}
        />
      </Card>
      <Card title="Agents online">
        <Chart
          label="Agents online"
          times={times}
          span={HOUR}
          lines={[{ title: "Online", values: course.online }]}
          format={count}
        />
      </Card>
    </div>
  );
}
