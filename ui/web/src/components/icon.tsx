/** Line icons on a 16 × 16 grid. They are decorative: give the control a text label. */

const PATHS = {
  agent: "M2.5 3.5h11v4h-11zM2.5 8.5h11v4h-11zM5 5.5h.01M5 10.5h.01",
  alert: "M8 2.2 14.5 13.5h-13zM8 6.5v3.2M8 11.6h.01",
  audit: "M4 1.8h5.5L12.5 4.8v9.4H4zM6.3 7.5h4M6.3 10.2h4",
  bell: "M8 2a3.6 3.6 0 0 1 3.6 3.6c0 3.8 1.4 4.9 1.4 4.9H3s1.4-1.1 1.4-4.9A3.6 3.6 0 0 1 8 2zM6.7 13a1.4 1.4 0 0 0 2.6 0",
  chart: "M2 2v12h12M4.5 10.5l3-3.5 2.3 2 3.7-5",
  check: "M3 8.5 6.5 12 13 4.5",
  chevron: "M6 3.5 10.5 8 6 12.5",
  close: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  cut: "M2 8h4M10 8h4M6 5.5v5M10 5.5v5",
  eye: "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8zM8 6.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6z",
  filter: "M2 3h12L9.5 8.5v4.5l-3-1.5v-3z",
  fleet: "M8 1.8 14 5v6l-6 3.2L2 11V5zM2 5l6 3.2L14 5M8 8.2v6",
  gear: "M8 5.8a2.2 2.2 0 1 0 0 4.4 2.2 2.2 0 0 0 0-4.4zM8 1.5v2M8 12.5v2M1.5 8h2M12.5 8h2M3.4 3.4l1.4 1.4M11.2 11.2l1.4 1.4M3.4 12.6l1.4-1.4M11.2 4.8l1.4-1.4",
  key: "M10.5 2a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM8 8l-5.5 5.5M4.5 11.5l2 2",
  leave: "M6 2.5H2.5v11H6M10 5l3 3-3 3M13 8H6",
  link: "M6.5 9.5l3-3M7 4.5l1.2-1.2a2.9 2.9 0 0 1 4.1 4.1L11 8.7M9 11.5l-1.2 1.2a2.9 2.9 0 0 1-4.1-4.1L5 7.3",
  lock: "M3.5 7h9v6.5h-9zM5.3 7V4.8a2.7 2.7 0 0 1 5.4 0V7",
  menu: "M2 4h12M2 8h12M2 12h12",
  moon: "M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5z",
  people:
    "M6 8a2.6 2.6 0 1 0 0-5.2A2.6 2.6 0 0 0 6 8zM1.5 13.5c.3-2.4 2-3.6 4.5-3.6s4.2 1.2 4.5 3.6M10.5 3.2a2.4 2.4 0 0 1 0 4.5M12 10.2c1.5.4 2.3 1.5 2.5 3.3",
  policy: "M8 1.5 13.5 3.5v4c0 3.4-2.3 5.8-5.5 7-3.2-1.2-5.5-3.6-5.5-7v-4zM5.6 8l1.7 1.7L10.6 6.3",
  report: "M3 1.8h10v12.4H3zM5.5 11V8.5M8 11V5.5M10.5 11V7",
  rotate:
    "M13.3 6.3A5.6 5.6 0 0 0 3 5.2M2.7 9.7A5.6 5.6 0 0 0 13 10.8M13.5 2.5v3.8H9.7M2.5 13.5V9.7h3.8",
  rollout: "M2 12.5h3v-3H2zM6.5 12.5h3v-6h-3zM11 12.5h3v-9h-3z",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.3 10.3l3.5 3.5",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  system: "M2 3h12v8H2zM6 13.5h4M8 11v2.5",
  tree: "M5.5 2h5v3h-5zM1.5 11h5v3h-5zM9.5 11h5v3h-5zM8 5v3M4 11V8h8v3",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      <path
        d={PATHS[name]}
        fill="none"
        stroke="currentColor"
        stroke-width="1.4"
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}
