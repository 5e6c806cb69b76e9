import { useState } from "preact/hooks";
import { patch } from "../../lib/api";
import { useGet } from "../../lib/hooks";
import { organization } from "../../lib/session";
import { Card } from "../../parts/card";
import { Field } from "../../parts/field";
import { Check, Form } from "../../parts/form";
import { Await } from "../../parts/states";
import { toast } from "../../parts/toasts";
import type { Organization } from "./wire";

/** What holds for the whole organization. */
export function Rules() {
  const found = useGet<Organization>(`organizations/${organization.value}`);
  return (
    <Card title="Organization">
      <Await of={found}>{row => <Fields key={row.id} row={row} />}</Await>
    </Card>
  );
}

function Fields({ row }: { row: Organization }) {
  const [title, setTitle] = useState(row.title);
  const [demanded, setDemanded] = useState(row.second_factor);
  const act = async () => {
    await patch(`organizations/${row.id}`, { title, second_factor: demanded });
    toast("Saved");
  };
  return (
    <Form action="Save" act={act}>
      <Field label="Title" value={title} change={setTitle} maxLength={1024} />
      <Check
        label="Everybody has to have a second factor. Sessions of those without one end; they set it up when they sign in next."
        checked={demanded}
        change={setDemanded}
      />
    </Form>
  );
}
