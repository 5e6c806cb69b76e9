import { useId, useRef } from "preact/hooks";
import "./code-editor.css";

export interface Diagnostic {
  /** Starts at 1. */
  line: number;
  text: string;
}

interface CodeEditorProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  diagnostics: readonly Diagnostic[];
  /** Shown below the editor if there are no diagnostics. */
  hint?: string;
}

const MIN_LINES = 12;

/**
 * A text editor with line numbers. Diagnostics mark their lines and are listed below; selecting one
 * moves the cursor to its line.
 */
export function CodeEditor({ label, value, onChange, diagnostics, hint }: CodeEditorProps) {
  const id = useId();
  const area = useRef<HTMLTextAreaElement>(null);
  const lines = Math.max(MIN_LINES, value.split("\n").length);
  const bad = new Set(diagnostics.map(({ line }) => line));
  const reach = (line: number) => {
    const before = value.split("\n").slice(0, line - 1);
    const start = before.reduce((sum, each) => sum + each.length + 1, 0);
    const end = value.indexOf("\n", start);
    area.current?.focus();
    area.current?.setSelectionRange(start, end < 0 ? value.length : end);
  };
  return (
    <div class="editor">
      <label class="visually-hidden" for={id}>
        {label}
      </label>
      <div class={diagnostics.length ? "sheet faulty" : "sheet"}>
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
          aria-invalid={diagnostics.length > 0}
          aria-describedby={`${id}-description`}
          value={value}
          onInput={event => onChange(event.currentTarget.value)}
        />
      </div>
      <div class="diagnostics" id={`${id}-description`} role="status">
        {diagnostics.map(({ line, text }) => (
          <button type="button" class="fault" key={`${line} ${text}`} onClick={() => reach(line)}>
            <b>Line {line}</b> {text}
          </button>
        ))}
        {!diagnostics.length && <span class="muted">{hint}</span>}
      </div>
    </div>
  );
}
