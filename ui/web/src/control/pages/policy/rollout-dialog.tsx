import { useState } from "preact/hooks";
import { Dialog } from "../../../components/dialog";
import { SelectField, TextField } from "../../../components/field";
import { showToast } from "../../../components/toasts";
import { post } from "../../../lib/api";
import type { Policy, PolicyVersion } from "../../../lib/api-types";
import { formatCount, pluralize } from "../../../lib/format";
import { organizationPath } from "../../../lib/session";
import { type RolloutPlan, splitWords, stepSizes } from "./targets";

interface RolloutDialogProps {
  policy: Policy;
  versions: PolicyVersion[];
  /** Number of target agents. */
  total: number;
  onClose: () => void;
  onStarted: () => void;
}

/** Starts a rollout: version, steps and when to halt. */
export function RolloutDialog({ policy, versions, total, onClose, onStarted }: RolloutDialogProps) {
  // defaults follow policy and fleet until a value is chosen; both may still be loading
  const [selected, setVersion] = useState<string | null>(null);
  const [first, setCanary] = useState<string | null>(null);
  const [then, setPercentages] = useState<string | null>(null);
  const version = selected ?? `${policy.head}`;
  const canary = first ?? (total > 1 ? "1" : "0");
  const percentages = then ?? (total > 4 ? "25" : "");
  const [automatic, setAutomatic] = useState("yes");
  const [failures, setFailures] = useState("0");
  const percents = splitWords(percentages).map(Number);
  const fault = percents.some(each => !Number.isInteger(each) || each < 1 || each > 100)
    ? "Whole numbers from 1 to 100."
    : undefined;
  const plan: RolloutPlan = {
    canary: Number(canary) || 0,
    percentages: fault ? [] : percents,
    automatic: automatic === "yes",
    max_failures: Number(failures) || 0,
  };
  const submit = async () => {
    if (fault) throw new Error(fault);
    const body = { version: Number(version), plan };
    await post(organizationPath(`policies/${policy.name}/rollouts`), body);
    showToast(`Rollout of version ${version} started`);
    onStarted();
  };
  return (
    <Dialog
      title={`Roll out ${policy.name}`}
      submitLabel="Roll out"
      onSubmit={submit}
      onClose={onClose}
    >
      <SelectField
        label="Version"
        value={version}
        onChange={setVersion}
        options={versions.map(row => [`${row.version}`, versionLabel(row, policy)] as const)}
      />
      <div class="columns">
        <TextField label="Canary size" type="number" min="0" value={canary} onChange={setCanary} />
        <TextField
          label="Steps (percent of agents)"
          hint="For example 10, 50."
          error={fault}
          value={percentages}
          onChange={setPercentages}
          autocomplete="off"
        />
      </div>
      <SelectField
        label="Next step"
        value={automatic}
        onChange={setAutomatic}
        options={[
          ["yes", "Automatic, when all agents of the step have applied the version"],
          ["no", "Manual"],
        ]}
      />
      <TextField
        label="Maximum failures"
        type="number"
        min="0"
        value={failures}
        onChange={setFailures}
      />
      <p role="status">
        {total ? (
          <>
            <b>{pluralize(total, "agent")}</b>{" "}
            <span class="muted">in steps: {stepSummary(plan, total)}</span>
          </>
        ) : (
          <span class="muted">No targets yet. Edit the targets first.</span>
        )}
      </p>
    </Dialog>
  );
}

function stepSummary(plan: RolloutPlan, total: number): string {
  return stepSizes(plan, total)
    .map(each => formatCount(each))
    .join(" → ");
}

function versionLabel({ version, comment }: PolicyVersion, { head, stable }: Policy): string {
  const notes = [version === head && "newest", version === stable && "in use", comment];
  const text = notes.filter(Boolean).join(", ");
  return text ? `${version} (${text.slice(0, 60)})` : `${version}`;
}
