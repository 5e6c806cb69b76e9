import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { Icon } from "./icon";
import "./field.css";

interface FrameProps {
  label: string;
  /** What belongs in it. */
  hint?: string | undefined;
  /** What is wrong with it: the field is marked, and the text is read out. */
  fault?: string | undefined;
}

/** What a field may be told beside its value; the names are HTML's. */
interface Own extends FrameProps {
  value: string;
  change: (value: string) => void;
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
export function Field({ label, hint, fault, value, change, type = "text", ...rest }: Own) {
  return (
    <Frame label={label} hint={hint} fault={fault}>
      {bound => (
        <input
          {...rest}
          {...bound}
          type={type as "text"} // Preact's types tie each type to roles of its own
          class="input"
          value={value}
          onInput={event => change(event.currentTarget.value)}
        />
      )}
    </Frame>
  );
}

/** Several lines of text, as a policy is. */
export function Area({ label, hint, fault, value, change, ...rest }: Own) {
  return (
    <Frame label={label} hint={hint} fault={fault}>
      {bound => (
        <textarea
          spellcheck={false}
          {...rest}
          {...bound}
          class="input"
          value={value}
          onInput={event => change(event.currentTarget.value)}
        />
      )}
    </Frame>
  );
}

interface ChoiceProps extends Own {
  /** Value and what is shown for it. */
  options: readonly (readonly [string, string])[];
}

/** One of a few. */
export function Choice({ label, hint, fault, value, change, options, ...rest }: ChoiceProps) {
  return (
    <Frame label={label} hint={hint} fault={fault}>
      {bound => <Select {...rest} {...bound} value={value} change={change} options={options} />}
    </Frame>
  );
}

interface SelectProps {
  value: string;
  change: (value: string) => void;
  options: ChoiceProps["options"];
  disabled?: boolean;
  required?: boolean;
  "aria-label"?: string;
}

/** The same without a visible label, for toolbars: give it an `aria-label`. */
export function Select({ value, change, options, ...rest }: SelectProps) {
  return (
    <select
      {...rest}
      class="input"
      value={value}
      onChange={event => change(event.currentTarget.value)}
    >
      {options.map(([name, shown]) => (
        <option key={name} value={name}>
          {shown}
        </option>
      ))}
    </select>
  );
}

interface SearchProps {
  label: string;
  value: string;
  change: (value: string) => void;
}

/** Narrows a list as one types. `/` reaches it from anywhere on the page. */
export function Search({ label, value, change }: SearchProps) {
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
        onInput={event => change(event.currentTarget.value)}
      />
    </div>
  );
}

interface Bound {
  id: string;
  "aria-invalid": boolean;
  "aria-describedby": string;
}

function Frame(props: FrameProps & { children: (bound: Bound) => ComponentChildren }) {
  const { label, hint, fault, children } = props;
  const id = useId();
  const bound = { id, "aria-invalid": !!fault, "aria-describedby": `${id}-told` };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(bound)}
      <span class={fault ? "fault" : "hint"} id={`${id}-told`} hidden={!fault && !hint}>
        {fault || hint}
      </span>
    </div>
  );
}
