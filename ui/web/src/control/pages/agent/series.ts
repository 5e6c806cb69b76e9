import type { AgentRow } from "../../../lib/api-types";

/** A stored sample (`GET …/metrics/samples`). Counters are totals since the agent's start. */
export interface Sample {
  at: number;
  last: number;
}

/** Columns as long as `times` (Unix seconds, ascending). */
export interface MetricSeries {
  times: number[];
  requests: (number | null)[];
  errors: (number | null)[];
  p99: (number | null)[];
}

const MAX_POINTS = 2000; // points that a page keeps while it stays open

/** Converts counters to rates. The rate is unknown where a counter was reset. */
export function seriesFromSamples(
  requests: Sample[],
  errors: Sample[],
  p99: Sample[],
): MetricSeries {
  const times = requests.slice(1).map(({ at }) => at);
  const latencies = new Map(p99.map(({ at, last }) => [at, last / 1000]));
  const errorRates = rates(errors);
  const requestRates = rates(requests);
  return {
    times,
    requests: times.map(at => requestRates.get(at) ?? null),
    errors: times.map(at => errorRates.get(at) ?? null),
    p99: times.map(at => latencies.get(at) ?? null),
  };
}

/** Appends a live sample, unless it is older than the last point. */
export function appendSample(course: MetricSeries, at: number, row: AgentRow): MetricSeries {
  if (at <= (course.times.at(-1) ?? 0)) return course;
  return {
    times: [...course.times, at].slice(-MAX_POINTS),
    requests: [...course.requests, row.requests].slice(-MAX_POINTS),
    errors: [...course.errors, row.errors].slice(-MAX_POINTS),
    p99: [...course.p99, row.p99].slice(-MAX_POINTS),
  };
}

function rates(samples: readonly Sample[]): Map<number, number> {
  const result = new Map<number, number>();
  for (const [index, { at, last }] of samples.entries()) {
    const before = samples[index - 1];
    if (before && at > before.at && last >= before.last)
      result.set(at, (last - before.last) / (at - before.at));
  }
  return result;
}
