import { Await } from "../../../components/states";
import { useGet } from "../../../lib/hooks";
import { organizationPath } from "../../../lib/session";
import type { Framework } from "./api-types";

interface FrameworkPickerProps {
  value: readonly string[];
  onChange: (value: string[]) => void;
}

/** Checkboxes for the frameworks. */
export function FrameworkPicker({ value, onChange }: FrameworkPickerProps) {
  const result = useGet<Framework[]>(organizationPath("frameworks"));
  const turn = (id: string) =>
    onChange(value.includes(id) ? value.filter(one => one !== id) : [...value, id]);
  return (
    <fieldset class="frameworks">
      <legend>Frameworks</legend>
      <Await query={result}>
        {frameworks =>
          frameworks.map(({ id, title, edition }) => (
            <label key={id}>
              <input type="checkbox" checked={value.includes(id)} onChange={() => turn(id)} />
              <span>
                {title} <span class="muted">{edition}</span>
              </span>
            </label>
          ))
        }
      </Await>
    </fieldset>
  );
}
