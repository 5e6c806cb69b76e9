import { useId, useRef } from "preact/hooks";
import "./editor.css";

export interface Fault {
  /** From 1. */
  line: number;
  text: string;
}

interface EditorProps {
  label: string;
  value: string;
  change: (value: string) => void;
  faults: readonly Fault[];
  /** Said under it when there is no fault. */
  hint?: string;
}

const FEWEST = 12; // lines

/** A document with numbered lines; faulty ones are marked, told below, and reached by a press. */
export function Editor({ label, value, change, faults, hint }: EditorProps) {
  const id = useId();
  const area = useRef<HTMLTextAreaElement>(null);
  const lines = Math.max(FEWEST, value.split("\n").length);
  const bad = new Set(faults.map(({ line }) => line));
  const reach = (line: number) => {
    const before = value.split("\n").slice(0, line - 1);
    const start = before.reduce((sum, each) => sum + each.length + 1, 0);
    const end = value.indexOf("\n", start);
    area.current?.focus();
    area.current?.setSelectionRange(start, end < 0 ? value.length : end);
  };
  return (
    <div class="editor">
      <label class="unseen" for={id}>
        {label}
      </label>
      <div class={faults.length ? "sheet faulty" : "sheet"}>
        <div class="gutter" aria-hidden="true">
          {Array.from({ length: lines }, (_, index) => (
            <span key={index} class={bad.has(index + 1) ? "bad" : ""}>
              {index + 1}
            </span>
          ))}
        </div>
        <textarea
          id={id}
          ref={area}
          rows={lines}
          wrap="off"
          spellcheck={false}
          autocomplete="off"
          aria-invalid={faults.length > 0}
          aria-describedby={`${id}-told`}
          value={value}
          onInput={event => change(event.currentTarget.value)}
        />
      </div>
      <div class="told" id={`${id}-told`} role="status">
        {faults.map(({ line, text }) => (
          <button type="button" class="fault" key={`${line} ${text}`} onClick={() => reach(line)}>
            <b>Line {line}</b> {text}
          </button>
        ))}
        {!faults.length && <span class="muted">{hint}</span>}
      </div>
    </div>
  );
}
