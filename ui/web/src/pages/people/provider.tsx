import { useState } from "preact/hooks";
import { put, remove } from "../../lib/api";
import { useGet } from "../../lib/hooks";
import { may, ofOrganization } from "../../lib/session";
import type { Role } from "../../lib/types";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Code } from "../../parts/code";
import { Dialog } from "../../parts/dialog";
import { Area, Choice, Field } from "../../parts/field";
import { Check, Form } from "../../parts/form";
import { Failure, Loading } from "../../parts/states";
import { toast } from "../../parts/toasts";
import { type Provider as Found, ROLES } from "./wire";

const PATH = "identity-provider";

/** Signing in at the organization's own provider (OpenID Connect). */
export function Provider() {
  const found = useGet<Found | null>(ofOrganization(PATH));
  const [asks, setAsks] = useState(false);
  if (found.error) return <Failure error={found.error} retry={found.reload} />;
  if (found.loading && !found.data) return <Loading />;
  const provider = found.data;
  return (
    <Card
      title="Identity provider"
      aside={
        provider && may("owner") && <Button onClick={() => setAsks(true)}>Take it away…</Button>
      }
    >
      <div class="stack">
        {!provider && <p class="muted">There is none: people sign in with a password.</p>}
        {provider && (
          <>
            <p class="muted">The provider has to know this address as its redirect URI:</p>
            <Code label="Redirect URI" text={provider.redirect_uri} />
            <p class="muted">
              If it has back-channel logout, give it this one: whoever is signed out there is signed
              out here.
            </p>
            <Code label="Back-channel logout URI" text={provider.logout_uri} />
          </>
        )}
        <Fields key={provider?.changed_at ?? ""} of={provider} saved={found.reload} />
      </div>
      {asks && <TakeAway close={() => setAsks(false)} done={found.reload} />}
    </Card>
  );
}

function TakeAway({ close, done }: { close: () => void; done: () => void }) {
  const act = async () => {
    await remove(ofOrganization(PATH));
    toast("Nobody signs in by it any more");
    done();
  };
  return (
    <Dialog title="Take the provider away?" action="Take away" danger act={act} close={close}>
      <p class="muted">
        Accounts that it made have no password: they cannot sign in until they are invited anew.
      </p>
    </Dialog>
  );
}

function Fields({ of, saved }: { of: Found | null; saved: () => void }) {
  const terms = of?.terms;
  const [issuer, setIssuer] = useState(of?.issuer ?? "");
  const [client, setClient] = useState(of?.client_id ?? "");
  const [secret, setSecret] = useState("");
  const [scopes, setScopes] = useState((terms?.scopes ?? ["openid", "email", "profile"]).join(" "));
  const [domains, setDomains] = useState((terms?.domains ?? []).join(" "));
  const [role, setRole] = useState<string>(terms?.role ?? "viewer");
  const [claim, setClaim] = useState(terms?.role_claim ?? "");
  const [roles, setRoles] = useState(written(terms?.roles ?? {}));
  const [trusted, setTrusted] = useState(terms?.second_factor ?? false);
  const act = async () => {
    const kept = {
      scopes: listed(scopes),
      domains: listed(domains),
      role,
      role_claim: claim,
      roles: read(roles),
      second_factor: trusted,
    };
    const body = { issuer, client_id: client, client_secret: secret, terms: kept };
    await put(ofOrganization(PATH), body);
    toast("People can sign in by it");
    saved();
  };
  return (
    <Form action={of ? "Save" : "Take this provider"} act={act} disabled={!may("owner")}>
      <Field
        label="Issuer"
        type="url"
        placeholder="https://"
        required
        value={issuer}
        change={setIssuer}
      />
      <Field label="Client id" autocomplete="off" required value={client} change={setClient} />
      <Field
        label="Client secret"
        type="password"
        autocomplete="new-password"
        hint={of ? "Type it again at each change; empty for a public client." : "Kept sealed."}
        value={secret}
        change={setSecret}
      />
      <Field label="Scopes" value={scopes} change={setScopes} required />
      <Field
        label="Domains"
        hint="Whose verified addresses get an account without an invitation."
        value={domains}
        change={setDomains}
      />
      <Choice label="Role of newcomers" value={role} change={setRole} options={ROLES} />
      <Field
        label="Claim with the role"
        hint="Empty: the role is kept here."
        value={claim}
        change={setClaim}
      />
      <Area
        label="Roles by its value"
        hint="A line each: value = role"
        rows={3}
        value={roles}
        change={setRoles}
      />
      <Check
        label="The provider asks for a second factor, so that ours is not asked for."
        checked={trusted}
        change={setTrusted}
      />
    </Form>
  );
}

function listed(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

function written(roles: Record<string, Role>): string {
  return Object.entries(roles)
    .map(pair => pair.join(" = "))
    .join("\n");
}

/** The server says which of them is none. */
function read(text: string): Record<string, string> {
  const lines = text.split("\n").filter(line => line.trim());
  return Object.fromEntries(
    lines.map(line => {
      const at = line.lastIndexOf("=");
      return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    }),
  );
}
