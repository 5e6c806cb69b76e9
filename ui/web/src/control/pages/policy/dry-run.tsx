import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Card } from "../../../components/card";
import { SelectField, TextArea } from "../../../components/field";
import type { PolicyDocument } from "../../../lib/api-types";
import { type Evaluation, evaluatePolicy } from "./evaluate";

const CAPABILITIES = [
  "create",
  "read",
  "read_metadata",
  "update",
  "delete",
  "destroy",
  "list",
  "sudo",
].map(name => [name, name] as const);
const MAX_PATHS = 100;

interface PolicyDryRunProps {
  document: PolicyDocument | null;
  saved: PolicyDocument | null;
}

/** Evaluates the draft for some paths, compared with the saved version. */
export function PolicyDryRun({ document, saved }: PolicyDryRunProps) {
  const [paths, setPaths] = useState("");
  const [capability, setCapability] = useState("read");
  const requestedPaths = [...new Set(paths.split("\n").map(path => path.trim()))].filter(Boolean);
  return (
    <Card title="Dry run">
      <div class="stack">
        <SelectField
          label="Capability"
          value={capability}
          onChange={setCapability}
          options={CAPABILITIES}
        />
        <TextArea
          label="Paths"
          hint="One path per line, for example secret/app/db. Paths stay in this browser."
          rows={4}
          value={paths}
          onChange={setPaths}
        />
        {!document && <p class="muted">Results appear when the document is valid.</p>}
        {document && !!requestedPaths.length && (
          <ul class="dry-run">
            {requestedPaths.slice(0, MAX_PATHS).map(path => (
              <li key={path}>
                <span class="mono">{path}</span>
                <DryRunResult
                  now={evaluatePolicy(document, path, capability)}
                  before={saved && evaluatePolicy(saved, path, capability)}
                />
              </li>
            ))}
          </ul>
        )}
        <p class="muted small">
          Evaluates only this policy, by path and capability. An agent also applies its own
          policies, its ceiling and the conditions.
        </p>
      </div>
    </Card>
  );
}

function DryRunResult({ now, before }: { now: Evaluation; before: Evaluation | null }) {
  const changed =
    before && (before.effect !== now.effect || before.conditional !== now.conditional);
  return (
    <span class="line">
      <StatusBadge status={EFFECT_STATUS[now.effect]} label={evaluationLabel(now)} />
      {now.rule && <code class="muted">{now.rule}</code>}
      {changed && <span class="muted">before: {evaluationLabel(before).toLowerCase()}</span>}
    </span>
  );
}

const EFFECT_STATUS = { allow: "ok", deny: "denied", none: "unknown" } as const;
const EFFECT_LABELS = { allow: "Allowed", deny: "Denied", none: "Not allowed" } as const;

function evaluationLabel({ effect, conditional }: Evaluation): string {
  return EFFECT_LABELS[effect] + (conditional ? ", if its conditions hold" : "");
}
