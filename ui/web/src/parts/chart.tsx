import { effect } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { now } from "../lib/clock";
import { compact, moment } from "../lib/format";
import { isDark } from "../lib/theme";
import "./chart.css";

export interface Line {
  title: string;
  /** As many as `times`; null where nothing was measured. */
  values: readonly (number | null)[];
}

const FEW = 3; // points that make no line yet: they are drawn as such
const HOUR = 3600; // seconds

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
  /** Seconds that the axis shows up to the newest point; without it, all there is. */
  span?: number;
}

/** Curves over time. They move as points come, follow the theme, and tell the values under the pointer. */
export function Chart(props: ChartProps) {
  const { label, times, lines, format = compact, height = 140 } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const titles = lines.map(line => line.title).join("\n");
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
    plot.current?.setData(dataOf({ times, lines }));
  }, [times, ...lines.map(line => line.values)]);
  const shown = at ?? times.length - 1;
  const when = at === null ? undefined : times[at];
  return (
    <figure class="chart" aria-label={`${label}: ${spoken(lines, format)}`}>
      <figcaption class="legend">
        {lines.map(line => (
          <span key={line.title}>
            <span class="swatch" aria-hidden="true" />
            {line.title} <output>{format(line.values[shown])}</output>
          </span>
        ))}
        {when !== undefined && <span>{moment(when * 1000).slice(11)}</span>}
      </figcaption>
      <div class="plot" ref={box} style={{ "--chart-height": `${height}px` }} />
    </figure>
  );
}

type Data = Pick<ChartProps, "times" | "lines">;

function dataOf({ times, lines }: Data): uPlot.AlignedData {
  return [times as number[], ...lines.map(line => line.values as (number | null)[])];
}

function optionsOf(
  props: ChartProps,
  element: HTMLElement,
  point: (index: number | null) => void,
): uPlot.Options {
  const { lines, format = compact, height = 140, span } = props;
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
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    scales: {
      x: { time: true, range: (_, low, high) => reach(low, high, span) },
      y: { range: (_, __, high) => [0, high > 0 ? high * 1.1 : 1] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 24,
        space: 80,
        values: (_, ticks) => ticks.map(hour),
      },
      {
        ...axis,
        grid: { stroke: colour("--border"), width: 1 },
        size: 44,
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
        points: { show: (plot: uPlot) => plot.data[0].length < FEW, size: 5 },
        ...(lines.length === 1 ? { fill: `${colour("--series-1")}1a` } : {}),
      })),
    ],
    hooks: { setCursor: [plot => point(plot.cursor.idx ?? null)] },
  };
}

/** What the time axis shows: `span` seconds up to the newest point, or up to now without any. */
function reach(low: number | null, high: number | null, span = 0): [number, number] {
  const end = high ?? now.peek() / 1000;
  return [span ? end - span : (low ?? end - HOUR), end];
}

function colours(element: HTMLElement): (name: string) => string {
  const style = getComputedStyle(element);
  return name => style.getPropertyValue(name).trim();
}

function hour(at: number): string {
  return moment(at * 1000).slice(11, at % 60 ? 19 : 16);
}

function spoken(lines: readonly Line[], format: (value: number | null | undefined) => string) {
  return lines.map(line => `${line.title} ${format(line.values.at(-1))}`).join(", ");
}
