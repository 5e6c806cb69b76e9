import type { ComponentChildren } from "preact";
import { useAction } from "../lib/hooks";
import { Button } from "./button";
import type { IconName } from "./icon";
import { Notice } from "./states";
import "./form.css";

interface FormProps {
  submitLabel: string;
  icon?: IconName;
  /** An error that it throws is shown in the form. */
  onSubmit: () => Promise<unknown>;
  disabled?: boolean;
  /** Shown beside the button. */
  extraActions?: ComponentChildren;
  children: ComponentChildren;
}

/** Fields with one submit button. */
export function Form({
  submitLabel,
  icon,
  onSubmit,
  disabled = false,
  extraActions,
  children,
}: FormProps) {
  const { run, busy, error } = useAction(onSubmit);
  return (
    <form class="form-part" onSubmit={run}>
      <div class="form-fields">{children}</div>
      {error && (
        <Notice tone="bad">
          {error.message}
          {error.requestId && ` (request ${error.requestId})`}
        </Notice>
      )}
      {!disabled && (
        <div class="line">
          <Button type="submit" kind="primary" busy={busy} {...(icon ? { icon } : {})}>
            {submitLabel}
          </Button>
          {extraActions}
        </div>
      )}
    </form>
  );
}

/** Lays out fields in columns where there is room. */
export function FieldGrid({ children }: { children: ComponentChildren }) {
  return <div class="form-fields">{children}</div>;
}

interface CheckboxProps {
  label: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
  disabled?: boolean;
}

export function Checkbox({ label, checked, onChange, disabled = false }: CheckboxProps) {
  return (
    <label class="check whole">
      <input
        type="checkbox"
        checked={checked}
        disabled={disabled}
        onChange={event => onChange(event.currentTarget.checked)}
      />
      {label}
    </label>
  );
}
