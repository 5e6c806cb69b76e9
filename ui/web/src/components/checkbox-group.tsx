import { useId } from "preact/hooks";
import "./checkbox-group.css";

interface CheckboxGroupProps {
  label: string;
  hint?: string | undefined;
  /** Marks the checkboxes as invalid. Read out by screen readers. */
  error?: string | undefined;
  /** Pairs of value and label. */
  options: readonly (readonly [string, string])[];
  /** Those that are checked, in the order of `options`. */
  value: readonly string[];
  onChange: (value: string[]) => void;
}

/** Checkboxes with a common label, of which any number is checked. */
export function CheckboxGroup({
  label,
  hint,
  error,
  options,
  value,
  onChange,
}: CheckboxGroupProps) {
  const id = useId();
  const turn = (name: string) =>
    onChange(
      options.map(([each]) => each).filter(each => value.includes(each) !== (each === name)),
    );
  return (
    <fieldset class="checks" aria-describedby={id}>
      <legend>{label}</legend>
      {options.map(([name, shown]) => (
        <label key={name}>
          <input
            type="checkbox"
            aria-invalid={!!error}
            aria-describedby={error ? id : undefined}
            checked={value.includes(name)}
            onChange={() => turn(name)}
          />
          {shown}
        </label>
      ))}
      <span class={error ? "fault" : "hint"} id={id} hidden={!error && !hint}>
        {error || hint}
      </span>
    </fieldset>
  );
}
