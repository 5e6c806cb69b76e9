import { useState } from "preact/hooks";
import { asApiError, post } from "../../lib/api";
import { useLive } from "../../lib/hooks";
import { query } from "../../lib/router";
import { ofOrganization, organization, within } from "../../lib/session";
import type { AgentRow } from "../../lib/types";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Code } from "../../parts/code";
import { Choice, Field } from "../../parts/field";
import { Notice } from "../../parts/states";
import { TimeAgo } from "../../parts/time";
import { type Minted, SLUG } from "./wire";

/** A token for one agent, the command to run with it, and whether it has come. */
export function Mint() {
  const [vault, setVault] = useState(query.value.get("vault") ?? "");
  const [replace, setReplace] = useState(query.value.get("replace") ? "yes" : "no");
  const [minted, setMinted] = useState<Minted | null>(null);
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError("");
    const body = { vault: vault.trim(), replace: replace === "yes" };
    try {
      setMinted(await post<Minted>(ofOrganization("enrolment-tokens"), body));
    } catch (thrown) {
      setError(asApiError(thrown).message);
    }
    setBusy(false);
  };
  if (minted) return <Handed minted={minted} again={() => setMinted(null)} />;
  return (
    <Card title="Let an agent in">
      <form class="enrol" onSubmit={submit}>
        <Field
          label="Agent"
          value={vault}
          change={setVault}
          required
          maxLength={64}
          pattern={SLUG}
          autocomplete="off"
          hint="Its name here: a–z, 0–9 and -."
          fault={error || undefined}
        />
        <Choice
          label="If the name is taken"
          value={replace}
          change={setReplace}
          options={[
            ["no", "Refuse"],
            ["yes", "Take it over: for one that is locked or was rebuilt"],
          ]}
        />
        <Button type="submit" kind="primary" icon="key" busy={busy}>
          Make a token
        </Button>
      </form>
    </Card>
  );
}

function Handed({ minted, again }: { minted: Minted; again: () => void }) {
  const { control, pin, secret, token } = minted;
  const command = [
    `FREEHOLD_ENROLMENT_TOKEN=${secret} \\`,
    `  freehold agent enrol --control ${control || "https://HOST:PORT"} \\`,
    `  --pin ${pin} --config /etc/freehold/vault.yaml`,
  ].join("\n");
  return (
    <Card title={`Token for ${token.vault}`} aside={<Arrival vault={token.vault} />}>
      <div class="stack">
        <Notice tone="warn">
          Shown this once. It lets one agent in and is good <TimeAgo at={token.expires_at} />.
        </Notice>
        <Code label="Token" text={secret} />
        <p>Run this on the agent's machine, then restart the agent:</p>
        <Code label="Command" text={command} />
        {!control && (
          <p class="muted">
            HOST:PORT is where agents reach this control plane: <code>link</code> in its settings.
          </p>
        )}
        <div class="line">
          <Button onClick={again}>Done</Button>
        </div>
      </div>
    </Card>
  );
}

/** Whether it has come, live. */
function Arrival({ vault }: { vault: string }) {
  const fleet = useLive<AgentRow>("fleet", organization.value);
  fleet.version.value;
  const row = fleet.rows.get(vault);
  if (row?.life !== "active") return <State of="pending" label="Waiting for it" />;
  return (
    <span class="line">
      <State of={row.state} />
      <a href={within(`/agents/${vault}`)}>Look at it</a>
    </span>
  );
}
