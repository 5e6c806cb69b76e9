import "./chart.css";

const WIDTH = 96;
const HEIGHT = 20;

/** The course of a figure, without axes; for rows of tables. */
export function Spark({ values, label }: { values: readonly number[]; label: string }) {
  return (
    <svg
      class="spark"
      width={WIDTH}
      height={HEIGHT}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={label}
    >
      <path d={line(values)} />
    </svg>
  );
}

function line(values: readonly number[]): string {
  const most = Math.max(...values, 0) || 1;
  const step = WIDTH / Math.max(1, values.length - 1);
  return values
    .map((value, index) => {
      const y = HEIGHT - 1 - (value / most) * (HEIGHT - 2);
      return `${index ? "L" : "M"}${(index * step).toFixed(1)} ${y.toFixed(1)}`;
    })
    .join("");
}
