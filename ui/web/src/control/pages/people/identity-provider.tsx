import { useState } from "preact/hooks";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { CodeBlock } from "../../../components/code-block";
import { Dialog } from "../../../components/dialog";
import { SelectField, TextArea, TextField } from "../../../components/field";
import { Checkbox, Form } from "../../../components/form";
import { ErrorState, Loading } from "../../../components/states";
import { showToast } from "../../../components/toasts";
import { put, remove } from "../../../lib/api";
import type { Role } from "../../../lib/api-types";
import { useGet } from "../../../lib/hooks";
import { hasRole, organizationPath } from "../../../lib/session";
import { type IdentityProvider as Found, ROLE_OPTIONS } from "./api-types";

const PROVIDER_PATH = "identity-provider";

/** Sign-in with OpenID Connect. */
export function IdentityProviderTab() {
  const result = useGet<Found | null>(organizationPath(PROVIDER_PATH));
  const [dialog, setDialog] = useState(false);
  if (result.error) return <ErrorState error={result.error} onRetry={result.reload} />;
  if (result.loading && !result.data) return <Loading />;
  const provider = result.data;
  return (
    <Card
      title="Identity provider"
      aside={
        provider &&
        hasRole("owner") && <Button onClick={() => setDialog(true)}>Remove provider…</Button>
      }
    >
      <div class="stack">
        {!provider && <p class="muted">No identity provider. People sign in with a password.</p>}
        {provider && (
          <>
            <p class="muted">Register this redirect URI with the provider:</p>
            <CodeBlock label="Redirect URI" text={provider.redirect_uri} />
            <p class="muted">
              If the provider supports back-channel logout, register this URI too. Signing out there
              then also signs out here.
            </p>
            <CodeBlock label="Back-channel logout URI" text={provider.logout_uri} />
          </>
        )}
        <ProviderForm
          key={provider?.changed_at ?? ""}
          provider={provider}
          onSaved={result.reload}
        />
      </div>
      {dialog && <RemoveProvider onClose={() => setDialog(false)} onDone={result.reload} />}
    </Card>
  );
}

function RemoveProvider({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
  const submit = async () => {
    await remove(organizationPath(PROVIDER_PATH));
    showToast("Identity provider removed");
    onDone();
  };
  return (
    <Dialog
      title="Remove identity provider?"
      submitLabel="Remove"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p class="muted">
        Accounts created by it have no password. They cannot sign in until they are invited again.
      </p>
    </Dialog>
  );
}

function ProviderForm({ provider, onSaved }: { provider: Found | null; onSaved: () => void }) {
  const terms = provider?.terms;
  const [issuer, setIssuer] = useState(provider?.issuer ?? "");
  const [client, setClient] = useState(provider?.client_id ?? "");
  const [secret, setSecret] = useState("");
  const [scopes, setScopes] = useState((terms?.scopes ?? ["openid", "email", "profile"]).join(" "));
  const [domains, setDomains] = useState((terms?.domains ?? []).join(" "));
  const [role, setRole] = useState<string>(terms?.role ?? "viewer");
  const [claim, setClaim] = useState(terms?.role_claim ?? "");
  const [roles, setRoles] = useState(formatRoles(terms?.roles ?? {}));
  const [trusted, setTrusted] = useState(terms?.second_factor ?? false);
  const submit = async () => {
    const kept = {
      scopes: splitList(scopes),
      domains: splitList(domains),
      role,
      role_claim: claim,
      roles: parseRoles(roles),
      second_factor: trusted,
    };
    const body = { issuer, client_id: client, client_secret: secret, terms: kept };
    await put(organizationPath(PROVIDER_PATH), body);
    showToast("Identity provider saved");
    onSaved();
  };
  return (
    <Form
      submitLabel={provider ? "Save" : "Add provider"}
      onSubmit={submit}
      disabled={!hasRole("owner")}
    >
      <TextField
        label="Issuer"
        type="url"
        placeholder="https://"
        required
        value={issuer}
        onChange={setIssuer}
      />
      <TextField
        label="Client ID"
        autocomplete="off"
        required
        value={client}
        onChange={setClient}
      />
      <TextField
        label="Client secret"
        type="password"
        autocomplete="new-password"
        hint={
          provider
            ? "Enter it again with every change. Leave empty for a public client."
            : "Stored encrypted."
        }
        value={secret}
        onChange={setSecret}
      />
      <TextField label="Scopes" value={scopes} onChange={setScopes} required />
      <TextField
        label="Domains"
        hint="People with a verified address in these domains get an account without an invitation."
        value={domains}
        onChange={setDomains}
      />
      <SelectField label="Default role" value={role} onChange={setRole} options={ROLE_OPTIONS} />
      <TextField
        label="Role claim"
        hint="Leave empty to manage roles here."
        value={claim}
        onChange={setClaim}
      />
      <TextArea
        label="Role mapping"
        hint="One mapping per line: claim value = role"
        rows={3}
        value={roles}
        onChange={setRoles}
      />
      <Checkbox
        label="The provider enforces a second factor. Do not ask for one here."
        checked={trusted}
        onChange={setTrusted}
      />
    </Form>
  );
}

function splitList(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

function formatRoles(roles: Record<string, Role>): string {
  return Object.entries(roles)
    .map(pair => pair.join(" = "))
    .join("\n");
}

/** The server rejects unknown roles. */
function parseRoles(text: string): Record<string, string> {
  const lines = text.split("\n").filter(line => line.trim());
  return Object.fromEntries(
    lines.map(line => {
      const at = line.lastIndexOf("=");
      return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    }),
  );
}
