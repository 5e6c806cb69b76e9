import { formatPolicy, POLICY_TEMPLATE, type Validation } from "../lib/policy-document";
import { StatusBadge } from "./badge";
import { Button } from "./button";
import { CodeEditor } from "./code-editor";

interface PolicyEditorProps {
  label: string;
  text: string;
  /** The stored document. Empty if there is none. */
  saved: string;
  validation: Validation;
  hint: string;
  onChange: (text: string) => void;
  onSave: () => void;
}

/** An editor for a policy document. It can be saved while the document is valid. */
export function PolicyEditor({
  label,
  text,
  saved,
  validation,
  hint,
  onChange,
  onSave,
}: PolicyEditorProps) {
  const { document, diagnostics } = validation;
  const isSame = text === saved;
  return (
    <div class="stack">
      <CodeEditor
        label={label}
        value={text}
        onChange={onChange}
        diagnostics={diagnostics}
        hint={hint}
      />
      <div class="line">
        <Button kind="primary" disabled={!document || isSame} onClick={onSave}>
          Save…
        </Button>
        <Button disabled={!document} onClick={() => document && onChange(formatPolicy(document))}>
          Format
        </Button>
        <Button disabled={isSame} onClick={() => onChange(saved || formatPolicy(POLICY_TEMPLATE))}>
          {" "}
          Discard changes{" "}
        </Button>
      </div>
    </div>
  );
}

/** The result of the validation. */
export function ValidationBadge({
  validation,
  unchangedLabel,
}: {
  validation: Validation;
  unchangedLabel: string | false;
}) {
  if (validation.checking) return <StatusBadge status="unknown" label="Validating" />;
  if (validation.diagnostics.length) return <StatusBadge status="failed" label="Invalid" />;
  return unchangedLabel ? (
    <StatusBadge status="unknown" label={unchangedLabel} />
  ) : (
    <StatusBadge status="ok" label="Valid" />
  );
}
