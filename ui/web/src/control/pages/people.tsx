import { useState } from "preact/hooks";
import { Card } from "../../components/card";
import { TextField } from "../../components/field";
import { Checkbox, Form } from "../../components/form";
import { Page } from "../../components/page";
import { Await } from "../../components/states";
import { type Tab, Tabs } from "../../components/tabs";
import { showToast } from "../../components/toasts";
import { patch } from "../../lib/api";
import { useGet } from "../../lib/hooks";
import { hasRole, organization } from "../../lib/session";
import type { Organization } from "./people/api-types";
import { IdentityProviderTab } from "./people/identity-provider";
import { InvitationsTab } from "./people/invitations";
import { MembersTab } from "./people/members";
import { ApiTokensTab } from "./people/tokens";

/** Members, invitations, API tokens, identity provider and settings of an organization. */
export default function People() {
  return (
    <Page title="People">
      <div class="stack">
        <Tabs key={organization.value} label="People" tabs={tabs()} />
      </div>
    </Page>
  );
}

function tabs(): Tab[] {
  const result = [
    { name: "members", title: "Members", content: () => <MembersTab /> },
    { name: "tokens", title: "API tokens", content: () => <ApiTokensTab /> },
  ];
  if (hasRole("admin")) {
    result.splice(1, 0, {
      name: "invitations",
      title: "Invitations",
      content: () => <InvitationsTab />,
    });
    result.push({
      name: "provider",
      title: "Identity provider",
      content: () => <IdentityProviderTab />,
    });
  }
  if (hasRole("owner"))
    result.push({ name: "rules", title: "Organization", content: () => <OrganizationTab /> });
  return result;
}

/** Settings of the organization. */
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
  const submit = async () => {
    await patch(`organizations/${row.id}`, { title, second_factor: demanded });
    showToast("Organization saved");
  };
  return (
    <Form submitLabel="Save" onSubmit={submit}>
      <TextField label="Title" value={title} onChange={setTitle} maxLength={1024} />
      <Checkbox
        label="Require a second factor. Sessions of members without one end; they set one up at their next sign-in."
        checked={demanded}
        onChange={setDemanded}
      />
    </Form>
  );
}
