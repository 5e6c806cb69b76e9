import { useEffect, useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { SelectField, TextField } from "../../../components/field";
import { Notice } from "../../../components/states";
import { post } from "../../../lib/api";
import type { PolicyDocument } from "../../../lib/api-types";
import { useAction } from "../../../lib/hooks";
import type { Decision } from "../../api-types";

const CAPABILITIES = [
  "read",
  "list",
  "create",
  "update",
  "delete",
  "destroy",
  "read_metadata",
  "sudo",
].map(name => [name, name] as const);

const REASONS: Record<string, string> = {
  no_rule: "No rule allows it",
  deny_rule: "A rule denies it",
  key_permissions: "The API key's permissions do not include it",
};

interface DryRunFormProps {
  policy?: string;
  /** The edited document. Null while it is invalid. Without it the stored policy counts. */
  draft?: PolicyDocument | null;
}

/**
 * Evaluates one access without performing it: for the policy `policy` with its `draft`, for a user,
 * or for the signed-in user.
 */
export function DryRunForm({ policy, draft }: DryRunFormProps) {
  const [user, setUser] = useState("");
  const [capability, setCapability] = useState("read");
  const [path, setPath] = useState("secret/");
  const [result, setResult] = useState<Decision | null>(null);
  useEffect(() => setResult(null), [draft]); // the result belongs to the previous draft
  const { run, busy, error } = useAction(async () => {
    setResult(null);
    const who = policy
      ? { policies: [policy], ...(draft ? { draft: { ...draft, name: policy } } : {}) }
      : user.trim()
        ? { user: user.trim() }
        : {};
    setResult(await post<Decision>("policies-dry-run", { capability, path, ...who }));
  });
  return (
    <Card
      title={
        policy
          ? `Dry run of ${policy}${draft === undefined ? "" : " (this draft)"}`
          : "Dry run of an access"
      }
    >
      <form class="form" onSubmit={run}>
        <div class="field-row">
          {!policy && (
            <TextField
              label="User"
              placeholder="Yourself"
              autocomplete="off"
              value={user}
              onChange={setUser}
              error={error?.field === "user" ? error.message : undefined}
            />
          )}
          <SelectField
            label="Capability"
            value={capability}
            onChange={setCapability}
            options={CAPABILITIES}
          />
          <TextField
            label="Path"
            required
            autocomplete="off"
            value={path}
            onChange={setPath}
            error={error?.field === "path" ? error.message : undefined}
          />
          <Button type="submit" kind="primary" busy={busy} disabled={draft === null}>
            {" "}
            Run dry run{" "}
          </Button>
        </div>
        {error && <Notice tone="bad">{error.message}</Notice>}
        {draft === null && (
          <p class="muted">The dry run is available when the document is valid.</p>
        )}
        {result && <DecisionView of={result} />}
      </form>
    </Card>
  );
}

function DecisionView({ of: { allowed, rule, reason, missing, alert } }: { of: Decision }) {
  return (
    <div class="verdict" role="status">
      <span class="line">
        <StatusBadge
          status={allowed ? "ok" : "denied"}
          filled
          label={allowed ? "Allowed" : "Not allowed"}
        />
        {rule ? (
          <span>
            by <code>{rule}</code>
          </span>
        ) : (
          <span class="muted">{REASONS[reason] ?? reason}</span>
        )}
        {alert && <StatusBadge status="warning" label="Raises an alert" />}
      </span>
      {missing.length > 0 && (
        <ul>
          {missing.map(line => (
            <li key={line}>{line}</li>
          ))}
        </ul>
      )}
    </div>
  );
}
