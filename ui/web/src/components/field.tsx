import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { Icon } from "./icon";
import "./field.css";

interface FieldFrameProps {
  label: string;
  hint?: string | undefined;
  /** Marks the field as invalid. Read out by screen readers. */
  error?: string | undefined;
}

/** Props of all fields. Those not listed in `FieldFrameProps` have HTML's names and meanings. */
interface FieldProps extends FieldFrameProps {
  value: string;
  onChange: (value: string) => void;
  name?: string;
  type?: "text" | "password" | "email" | "url" | "number" | "datetime-local";
  autocomplete?: string;
  inputmode?: "numeric" | "text";
  placeholder?: string;
  maxLength?: number;
  pattern?: string;
  min?: string;
  rows?: number;
  required?: boolean;
  disabled?: boolean;
}

/** A single-line text field. */
export function TextField({
  label,
  hint,
  error,
  value,
  onChange,
  type = "text",
  ...rest
}: FieldProps) {
  return (
    <FieldFrame label={label} hint={hint} error={error}>
      {bound => (
        <input
          {...rest}
          {...bound}
          type={type as "text"} // Preact's types give each input type its own roles
          class="input"
          value={value}
          onInput={event => onChange(event.currentTarget.value)}
        />
      )}
    </FieldFrame>
  );
}

/** A multi-line text field. */
export function TextArea({ label, hint, error, value, onChange, ...rest }: FieldProps) {
  return (
    <FieldFrame label={label} hint={hint} error={error}>
      {bound => (
        <textarea
          spellcheck={false}
          {...rest}
          {...bound}
          class="input"
          value={value}
          onInput={event => onChange(event.currentTarget.value)}
        />
      )}
    </FieldFrame>
  );
}

interface SelectFieldProps extends FieldProps {
  /** Pairs of value and label. */
  options: readonly (readonly [string, string])[];
}

/** A labelled select. */
export function SelectField({
  label,
  hint,
  error,
  value,
  onChange,
  options,
  ...rest
}: SelectFieldProps) {
  return (
    <FieldFrame label={label} hint={hint} error={error}>
      {bound => <Select {...rest} {...bound} value={value} onChange={onChange} options={options} />}
    </FieldFrame>
  );
}

interface SelectProps {
  value: string;
  onChange: (value: string) => void;
  options: SelectFieldProps["options"];
  disabled?: boolean;
  required?: boolean;
  "aria-label"?: string;
}

/** A select without a visible label, for toolbars. Give it an `aria-label`. */
export function Select({ value, onChange, options, ...rest }: SelectProps) {
  return (
    <select
      {...rest}
      class="input"
      value={value}
      onChange={event => onChange(event.currentTarget.value)}
    >
      {options.map(([name, shown]) => (
        <option key={name} value={name}>
          {shown}
        </option>
      ))}
    </select>
  );
}

interface SearchInputProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
}

/** A search field for filtering a list. `/` focuses it from anywhere on the page. */
export function SearchInput({ label, value, onChange }: SearchInputProps) {
  return (
    <div class="search">
      <Icon name="search" />
      <input
        class="input"
        type="search"
        aria-label={label}
        placeholder={label}
        aria-keyshortcuts="/"
        autocomplete="off"
        spellcheck={false}
        value={value}
        onInput={event => onChange(event.currentTarget.value)}
      />
    </div>
  );
}

interface ControlAttributes {
  id: string;
  "aria-invalid": boolean;
  "aria-describedby": string;
}

function FieldFrame(
  props: FieldFrameProps & { children: (bound: ControlAttributes) => ComponentChildren },
) {
  const { label, hint, error, children } = props;
  const id = useId();
  const bound = { id, "aria-invalid": !!error, "aria-describedby": `${id}-description` };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(bound)}
      <span class={error ? "fault" : "hint"} id={`${id}-description`} hidden={!error && !hint}>
        {error || hint}
      </span>
    </div>
  );
}
