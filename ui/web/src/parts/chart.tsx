import { effect } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { now } from "../lib/clock";
import { compact, moment } from "../lib/format";
import { reach } from "../lib/reach";
import { isDark } from "../lib/theme";
import { shownMoment, zone } from "../lib/zone";
import "./chart.css";

export interface Line {
  title: string;
  /** As many as `times`; null where nothing was measured. */
  values: readonly (number | null)[];
  /** What is not measured, but expected. */
  dashed?: boolean;
}

/** Between what a line is likely to be, as many values as `times`. */
export interface Band {
  title: string;
  low: readonly (number | null)[];
  high: readonly (number | null)[];
}

const FEW = 3; // points that make no line yet: they are drawn as such
const DAY = 86_400; // seconds
const DAYS = [1, 2, 7, 14, 30, 60, 90, 180, 365]; // between two ticks of a daily axis

interface ChartProps {
  /** What it shows, for screen readers. */
  label: string;
  /** Unix seconds, growing. */
  times: readonly number[];
  lines: readonly Line[];
  /** How a value is written. */
  format?: (value: number | null | undefined) => string;
  /** Pixels. */
  height?: number;
  band?: Band;
  /** A point a day, at its beginning in UTC: days are told, not hours. */
  daily?: boolean;
  /** Seconds that the axis shows up to the newest point; without it, all there is. */
  span?: number;
  /** Unix seconds: where the axis begins, whatever there is. */
  from?: number;
}

/** Curves over time. They move as points come, follow the theme, and tell the values under the pointer. */
export function Chart(props: ChartProps) {
  const { label, times, lines, band, format = compact, height = 140, daily = false } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const titles = [...lines, ...(band ? [band] : [])].map(({ title }) => title).join("\n");
  // made anew for other lines, not points
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const stop = effect(() => {
      isDark.value; // the colours are other ones
      plot.current?.destroy();
      const options = optionsOf(latest.current, element, index => setAt(index));
      plot.current = new uPlot(options, dataOf(latest.current), element);
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
    plot.current?.setData(dataOf(latest.current));
  }, [times, ...lines.map(line => line.values), band]);
  const told = (values: Line["values"]) =>
    format(at === null ? values.findLast(value => value !== null) : values[at]);
  const when = at === null ? undefined : times[at];
  return (
    <figure class="chart" aria-label={`${label}: ${spoken(lines, format)}`}>
      <figcaption class="legend">
        {lines.map(line => (
          <span key={line.title}>
            <span class="swatch" aria-hidden="true" />
            {line.title} <output>{told(line.values)}</output>
          </span>
        ))}
        {band && (
          <span>
            <span class="swatch band" aria-hidden="true" />
            {band.title}{" "}
            <output>
              {told(band.low)} to {told(band.high)}
            </output>
          </span>
        )}
        {when !== undefined && (
          <span>{daily ? day(when) : shownMoment(when * 1000).slice(11)}</span>
        )}
      </figcaption>
      <div class="plot" ref={box} style={{ "--chart-height": `${height}px` }} />
    </figure>
  );
}

type Data = Pick<ChartProps, "times" | "lines" | "band">;

function dataOf({ times, lines, band }: Data): uPlot.AlignedData {
  const drawn = [...lines.map(line => line.values), ...(band ? [band.high, band.low] : [])];
  return [times as number[], ...(drawn as (number | null)[][])];
}

function optionsOf(
  props: ChartProps,
  element: HTMLElement,
  point: (index: number | null) => void,
): uPlot.Options {
  const { lines, band, format = compact, height = 140, span, from, daily = false } = props;
  const colour = colours(element);
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
    ...(daily || zone.peek() === "utc"
      ? { tzDate: (at: number) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC") }
      : {}),
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    scales: {
      x: {
        time: true,
        range: ({ data: [times] }) =>
          reach(times[0] ?? null, times.at(-1) ?? null, {
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
        ...(daily ? { incrs: DAYS.map(days => days * DAY) } : {}),
        values: (_, ticks) => ticks.map(at => (daily ? day(at).slice(5) : hour(at))),
      },
      {
        ...axis,
        grid: { stroke: colour("--border"), width: 1 },
        size: (_, shown) => room(shown ?? []),
        space: 36,
        values: (_, ticks) => ticks.map(tick => format(tick)),
      },
    ],
    series: [
      {},
      ...lines.map((line, index) => ({
        label: line.title,
        stroke: colour(`--series-${index + 1}`),
        width: 1.5,
        ...(line.dashed ? { dash: [6, 4] } : {}),
        points: { show: (plot: uPlot) => plot.data[0].length < FEW, size: 5, filter: alone },
        ...(lines.length === 1 && !band ? { fill: `${colour("--series-1")}1a` } : {}),
      })),
      ...(band ? [EDGE, EDGE] : []),
    ],
    ...(band
      ? {
          bands: [
            { series: [lines.length + 1, lines.length + 2], fill: `${colour("--series-2")}33` },
          ],
        }
      : {}),
    hooks: { setCursor: [plot => point(plot.cursor.idx ?? null)] },
  };
}

/** Of a band: it is filled, not drawn. */
const EDGE = { stroke: "transparent", width: 0, points: { show: false } };

/** `2026-11-24` of Unix seconds, in UTC as the days are that are counted. */
function day(at: number): string {
  return moment(at * 1000, "utc").slice(0, 10);
}

/** Pixels for the labels of an axis: as many as the longest takes. */
function room(labels: readonly string[]): number {
  return 14 + 6.5 * Math.max(3, ...labels.map(({ length }) => length));
}

/** Points that have no neighbour: no line is drawn to them, so they are drawn themselves. */
function alone(plot: uPlot, series: number, shown: boolean): number[] | null {
  if (shown) return null;
  const values = plot.data[series] ?? [];
  const found: number[] = [];
  for (const [index, value] of values.entries())
    if (value != null && values[index - 1] == null && values[index + 1] == null) found.push(index);
  return found;
}

function colours(element: HTMLElement): (name: string) => string {
  const style = getComputedStyle(element);
  return name => style.getPropertyValue(name).trim();
}

function hour(at: number): string {
  return shownMoment(at * 1000).slice(11, at % 60 ? 19 : 16);
}

function spoken(lines: readonly Line[], format: (value: number | null | undefined) => string) {
  return lines
    .map(line => `${line.title} ${format(line.values.findLast(value => value !== null))}`)
    .join(", ");
}
