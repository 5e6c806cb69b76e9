import { effect } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { now } from "../lib/clock";
import { formatCompact, formatTimestamp } from "../lib/format";
import { isDark } from "../lib/theme";
import { timeAxisRange } from "../lib/time-axis";
import { formatTime, timeZone } from "../lib/time-zone";
import "./chart.css";

export interface ChartSeries {
  title: string;
  /** One value for each of `times`. Null where nothing was measured. */
  values: readonly (number | null)[];
  /** For forecasts. */
  dashed?: boolean;
}

/** A confidence band: one value for each of `times`. */
export interface ChartBand {
  title: string;
  low: readonly (number | null)[];
  high: readonly (number | null)[];
}

const MIN_LINE_POINTS = 3; // with fewer points there is no line yet, so the points are drawn
const DAY = 86_400; // seconds
const DAY_STEPS = [1, 2, 7, 14, 30, 60, 90, 180, 365]; // days between two ticks of a daily axis

interface ChartProps {
  /** Accessible name. */
  label: string;
  /** Unix seconds, ascending. */
  times: readonly number[];
  series: readonly ChartSeries[];
  /** Formats a value for the legend and the axis. */
  format?: (value: number | null | undefined) => string;
  /** In pixels. */
  height?: number;
  band?: ChartBand;
  /** One point for each day, at midnight UTC. The axis shows dates. */
  daily?: boolean;
  /** Seconds that the axis spans back from the newest point. Without it, all points. */
  span?: number;
  /** Unix seconds: a fixed start of the axis. */
  from?: number;
}

/**
 * A line chart over time. It follows live points and the theme, and shows the values at the
 * pointer.
 */
export function Chart(props: ChartProps) {
  const { label, times, series, band, format = formatCompact, height = 140, daily = false } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const titles = [...series, ...(band ? [band] : [])].map(({ title }) => title).join("\n");
  // recreate the plot when the set of lines changes, not for each point
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const stop = effect(() => {
      isDark.value; // colours change with the theme
      plot.current?.destroy();
      const options = plotOptions(latest.current, element, index => setAt(index));
      plot.current = new uPlot(options, plotData(latest.current), element);
    });
    const observer = new ResizeObserver(() =>
      plot.current?.setSize({ width: element.clientWidth, height }),
    );
    observer.observe(element);
    return () => {
      stop();
      observer.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [titles, height]);
  useEffect(() => {
    plot.current?.setData(plotData(latest.current));
  }, [times, ...series.map(line => line.values), band]);
  const text = (values: ChartSeries["values"]) =>
    format(at === null ? values.findLast(value => value !== null) : values[at]);
  const when = at === null ? undefined : times[at];
  return (
    <figure class="chart" aria-label={`${label}: ${summary(series, format)}`}>
      <figcaption class="legend">
        {series.map(line => (
          <span key={line.title}>
            <span class="swatch" aria-hidden="true" />
            {line.title} <output>{text(line.values)}</output>
          </span>
        ))}
        {band && (
          <span>
            <span class="swatch band" aria-hidden="true" />
            {band.title}{" "}
            <output>
              {text(band.low)} to {text(band.high)}
            </output>
          </span>
        )}
        {when !== undefined && (
          <span>{daily ? formatDay(when) : formatTime(when * 1000).slice(11)}</span>
        )}
      </figcaption>
      <div class="plot" ref={box} style={{ "--chart-height": `${height}px` }} />
    </figure>
  );
}

type PlotData = Pick<ChartProps, "times" | "series" | "band">;

function plotData({ times, series, band }: PlotData): uPlot.AlignedData {
  const drawn = [...series.map(line => line.values), ...(band ? [band.high, band.low] : [])];
  return [times as number[], ...(drawn as (number | null)[][])];
}

function plotOptions(
  props: ChartProps,
  element: HTMLElement,
  point: (index: number | null) => void,
): uPlot.Options {
  const { series, band, format = formatCompact, height = 140, span, from, daily = false } = props;
  const colour = themeColour(element);
  const axis = {
    stroke: colour("--muted"),
    font: `11px ${colour("--font")}`,
    ticks: { show: false },
  };
  return {
    width: element.clientWidth,
    height,
    padding: [8, 16, 0, 0],
    legend: { show: false },
    ...(daily || timeZone.peek() === "utc"
      ? { tzDate: (at: number) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC") }
      : {}),
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    scales: {
      x: {
        time: true,
        range: ({ data: [times] }) =>
          timeAxisRange(times[0] ?? null, times.at(-1) ?? null, {
            daily,
            from,
            span,
            now: now.peek() / 1000,
          }),
      },
      y: { range: (_, __, high) => [0, high > 0 ? high * 1.1 : 1] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 24,
        space: 80,
        ...(daily ? { incrs: DAY_STEPS.map(days => days * DAY) } : {}),
        values: (_, ticks) => ticks.map(at => (daily ? formatDay(at).slice(5) : formatClock(at))),
      },
      {
        ...axis,
        grid: { stroke: colour("--border"), width: 1 },
        size: (_, shown) => axisWidth(shown ?? []),
        space: 36,
        values: (_, ticks) => ticks.map(tick => format(tick)),
      },
    ],
    series: [
      {},
      ...series.map((line, index) => ({
        label: line.title,
        stroke: colour(`--series-${index + 1}`),
        width: 1.5,
        ...(line.dashed ? { dash: [6, 4] } : {}),
        points: {
          show: (plot: uPlot) => plot.data[0].length < MIN_LINE_POINTS,
          size: 5,
          filter: isolatedPoints,
        },
        ...(series.length === 1 && !band ? { fill: `${colour("--series-1")}1a` } : {}),
      })),
      ...(band ? [BAND_EDGE, BAND_EDGE] : []),
    ],
    ...(band
      ? {
          bands: [
            { series: [series.length + 1, series.length + 2], fill: `${colour("--series-2")}33` },
          ],
        }
      : {}),
    hooks: { setCursor: [plot => point(plot.cursor.idx ?? null)] },
  };
}

/** The edges of a band are filled between, not drawn. */
const BAND_EDGE = { stroke: "transparent", width: 0, points: { show: false } };

/** The date in UTC, because days are counted in UTC. */
function formatDay(at: number): string {
  return formatTimestamp(at * 1000, "utc").slice(0, 10);
}

/** Pixels that the longest label of an axis needs. */
function axisWidth(labels: readonly string[]): number {
  return 14 + 6.5 * Math.max(3, ...labels.map(({ length }) => length));
}

/** Points without a neighbour: no line reaches them, so they are drawn as dots. */
function isolatedPoints(plot: uPlot, series: number, shown: boolean): number[] | null {
  if (shown) return null;
  const values = plot.data[series] ?? [];
  const result: number[] = [];
  for (const [index, value] of values.entries())
    if (value != null && values[index - 1] == null && values[index + 1] == null) result.push(index);
  return result;
}

function themeColour(element: HTMLElement): (name: string) => string {
  const style = getComputedStyle(element);
  return name => style.getPropertyValue(name).trim();
}

function formatClock(at: number): string {
  return formatTime(at * 1000).slice(11, at % 60 ? 19 : 16);
}

function summary(
  lines: readonly ChartSeries[],
  format: (value: number | null | undefined) => string,
) {
  return lines
    .map(line => `${line.title} ${format(line.values.findLast(value => value !== null))}`)
    .join(", ");
}
