import { useMemo } from "preact/hooks";
import { diff } from "../lib/diff";
import { pluralize } from "../lib/format";
import { CopyButton } from "./copy-button";
import "./code-block.css";

/** Read-only text with a copy button. */
export function CodeBlock({ label, text }: { label: string; text: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by the keyboard
    <section class="code" aria-label={label} tabIndex={0}>
      <pre>{text}</pre>
      <CopyButton text={text} label={`Copy: ${label}`} />
    </section>
  );
}

const MARKS = { same: "  ", new: "+ ", gone: "− " } as const;

/** A line diff of two texts. */
export function DiffView({
  label,
  before,
  after,
}: {
  label: string;
  before: string;
  after: string;
}) {
  const lines = useMemo(() => diff(before, after), [before, after]);
  const [more, less] = ["new", "gone"].map(kind => lines.filter(line => line.kind === kind).length);
  return (
    <section
      class="code"
      aria-label={`${label}: ${pluralize(more ?? 0, "line")} added, ${less} removed`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by the keyboard
      tabIndex={0}
    >
      <pre class="diff">
        {lines.map(({ kind, text }, index) => (
          <span class={kind} key={index}>
            {MARKS[kind]}
            {text}
          </span>
        ))}
      </pre>
    </section>
  );
}
