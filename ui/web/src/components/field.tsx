import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { Icon } from "./icon";
import "./field.css";

interface FieldFrameProps {
  label: string;
  /** What belongs in it. */
  hint?: string | undefined;
  /** What is wrong with it: the field is marked, and the text is read out. */
  error?: string | undefined;
}

/** What a field may be told beside its value; the names are HTML's. */
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

/** One line of text. */
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
          type={type as "text"} // Preact's types tie each type to roles of its own
          class="input"
          value={value}
          onInput={event => onChange(event.currentTarget.value)}
        />
      )}
    </FieldFrame>
  );
}

/** Several lines of text, as a policy is. */
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
  /** Value and what is shown for it. */
  options: readonly (readonly [string, string])[];
}

/** One of a few. */
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

/** The same without a visible label, for toolbars: give it an `aria-label`. */
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

/** Narrows a list as one types. `/` reaches it from anywhere on the page. */
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
  const bound = { id, "aria-invalid": !!error, "aria-describedby": `${id}-told` };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(bound)}
      <span class={error ? "fault" : "hint"} id={`${id}-told`} hidden={!error && !hint}>
        {error || hint}
      </span>
    </div>
  );
}
