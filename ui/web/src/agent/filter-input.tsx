import { useEffect, useState } from "preact/hooks";
import { setQuery } from "../lib/router";

interface FilterInputProps {
  label: string;
  /** The query parameter. */
  name: string;
  value: string;
}

/** A filter that applies on blur or Enter. Applying each keystroke would send a request each. */
export function FilterInput({ label, name, value }: FilterInputProps) {
  const [draft, setDraft] = useState(value);
  useEffect(() => setDraft(value), [value]);
  const settle = () => draft.trim() !== value && setQuery({ [name]: draft.trim() });
  return (
    <input
      class="input filter"
      aria-label={label}
      placeholder={label}
      autocomplete="off"
      spellcheck={false}
      value={draft}
      onInput={event => setDraft(event.currentTarget.value)}
      onBlur={settle}
      onKeyDown={event => event.key === "Enter" && settle()}
    />
  );
}
