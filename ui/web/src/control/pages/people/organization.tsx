import { useState } from "preact/hooks";
import { Card } from "../../../components/card";
import { TextField } from "../../../components/field";
import { Checkbox, Form } from "../../../components/form";
import { Await } from "../../../components/states";
import { showToast } from "../../../components/toasts";
import { patch } from "../../../lib/api";
import { useGet } from "../../../lib/hooks";
import { organization } from "../../../lib/session";
import type { Organization } from "./api-types";

/** What holds for the whole organization. */
export function OrganizationTab() {
  const result = useGet<Organization>(`organizations/${organization.value}`);
  return (
    <Card title="Organization">
      <Await query={result}>{row => <OrganizationForm key={row.id} row={row} />}</Await>
    </Card>
  );
}

function OrganizationForm({ row }: { row: Organization }) {
  const [title, setTitle] = useState(row.title);
  const [demanded, setDemanded] = useState(row.second_factor);
  const act = async () => {
    await patch(`organizations/${row.id}`, { title, second_factor: demanded });
    showToast("Saved");
  };
  return (
    <Form submitLabel="Save" onSubmit={act}>
      <TextField label="Title" value={title} onChange={setTitle} maxLength={1024} />
      <Checkbox
        label="Everybody has to have a second factor. Sessions of those without one end; they set it up when they sign in next."
        checked={demanded}
        onChange={setDemanded}
      />
    </Form>
  );
}
