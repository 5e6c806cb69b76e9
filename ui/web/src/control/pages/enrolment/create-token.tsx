import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { CodeBlock } from "../../../components/code-block";
import { SelectField, TextField } from "../../../components/field";
import { Notice } from "../../../components/states";
import { RelativeTime } from "../../../components/time";
import { asApiError, post } from "../../../lib/api";
import type { AgentRow } from "../../../lib/api-types";
import { useLive } from "../../../lib/hooks";
import { query } from "../../../lib/router";
import { inOrganization, organization, organizationPath } from "../../../lib/session";
import { type NewEnrolmentToken, SLUG_PATTERN } from "./api-types";

/** Creates an enrolment token, shows the command for it, and waits for the agent. */
export function CreateToken() {
  const [vault, setVault] = useState(query.value.get("vault") ?? "");
  const [replace, setReplace] = useState(query.value.get("replace") ? "yes" : "no");
  const [minted, setMinted] = useState<NewEnrolmentToken | null>(null);
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError("");
    const body = { vault: vault.trim(), replace: replace === "yes" };
    try {
      setMinted(await post<NewEnrolmentToken>(organizationPath("enrolment-tokens"), body));
    } catch (thrown) {
      setError(asApiError(thrown).message);
    }
    setBusy(false);
  };
  if (minted) return <NewTokenCard created={minted} onRetry={() => setMinted(null)} />;
  return (
    <Card title="New enrolment token">
      <form class="enrol" onSubmit={submit}>
        <TextField
          label="Agent"
          value={vault}
          onChange={setVault}
          required
          maxLength={64}
          pattern={SLUG_PATTERN}
          autocomplete="off"
          hint="The agent's name. Allowed: a–z, 0–9 and -."
          error={error || undefined}
        />
        <SelectField
          label="If the name is taken"
          value={replace}
          onChange={setReplace}
          options={[
            ["no", "Reject the agent"],
            ["yes", "Replace the existing agent (locked or rebuilt)"],
          ]}
        />
        <Button type="submit" kind="primary" icon="key" busy={busy}>
          Create token
        </Button>
      </form>
    </Card>
  );
}

function NewTokenCard({ created, onRetry }: { created: NewEnrolmentToken; onRetry: () => void }) {
  const { control, pin, secret, token } = created;
  const command = [
    `FREEHOLD_ENROLMENT_TOKEN=${secret} \\`,
    `  freehold agent enrol --control ${control || "https://HOST:PORT"} \\`,
    `  --pin ${pin} --config /etc/freehold/vault.yaml`,
  ].join("\n");
  return (
    <Card title={`Token for ${token.vault}`} aside={<ConnectionStatus vault={token.vault} />}>
      <div class="stack">
        <Notice tone="warn">
          Shown only once. The token enrols one agent and expires{" "}
          <RelativeTime at={token.expires_at} />.
        </Notice>
        <CodeBlock label="Token" text={secret} />
        <p>Run this on the agent's machine, then restart the agent:</p>
        <CodeBlock label="Command" text={command} />
        {!control && (
          <p class="muted">
            HOST:PORT is the address where agents reach this control plane: <code>link</code> in its
            configuration.
          </p>
        )}
        <div class="line">
          <Button onClick={onRetry}>Done</Button>
        </div>
      </div>
    </Card>
  );
}

/** Whether the agent has enrolled, live. */
function ConnectionStatus({ vault }: { vault: string }) {
  const fleet = useLive<AgentRow>("fleet", organization.value);
  fleet.version.value;
  const row = fleet.rows.get(vault);
  if (row?.life !== "active") return <StatusBadge status="pending" label="Waiting for agent" />;
  return (
    <span class="line">
      <StatusBadge status={row.state} />
      <a href={inOrganization(`/agents/${vault}`)}>Show agent</a>
    </span>
  );
}
