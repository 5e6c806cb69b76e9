import { useGet } from "../../lib/hooks";
import { ofOrganization } from "../../lib/session";
import { Await } from "../../parts/states";
import type { Framework } from "./wire";

interface ChooseProps {
  value: readonly string[];
  change: (value: string[]) => void;
}

/** Some of the frameworks. */
export function Choose({ value, change }: ChooseProps) {
  const found = useGet<Framework[]>(ofOrganization("frameworks"));
  const turn = (id: string) =>
    change(value.includes(id) ? value.filter(one => one !== id) : [...value, id]);
  return (
    <fieldset class="frameworks">
      <legend>Frameworks</legend>
      <Await of={found}>
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
