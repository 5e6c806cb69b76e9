import { useState } from "preact/hooks";
import { post } from "../../lib/api";
import { count, plural } from "../../lib/format";
import { ofOrganization } from "../../lib/session";
import type { Policy, PolicyVersion } from "../../lib/types";
import { Dialog } from "../../parts/dialog";
import { Choice, Field } from "../../parts/field";
import { toast } from "../../parts/toasts";
import { type Plan, reaches, split } from "./targets";

interface StartProps {
  policy: Policy;
  versions: PolicyVersion[];
  /** How many agents it is for. */
  total: number;
  close: () => void;
  started: () => void;
}

/** How a version is to reach the agents: step by step, and when to stop. */
export function Start({ policy, versions, total, close, started }: StartProps) {
  // until somebody chooses, what fits now: policy and fleet may still be arriving
  const [chosen, setVersion] = useState<string | null>(null);
  const [first, setCanary] = useState<string | null>(null);
  const [then, setPercentages] = useState<string | null>(null);
  const version = chosen ?? `${policy.head}`;
  const canary = first ?? (total > 1 ? "1" : "0");
  const percentages = then ?? (total > 4 ? "25" : "");
  const [automatic, setAutomatic] = useState("yes");
  const [failures, setFailures] = useState("0");
  const percents = split(percentages).map(Number);
  const fault = percents.some(each => !Number.isInteger(each) || each < 1 || each > 100)
    ? "Whole numbers from 1 to 100."
    : undefined;
  const plan: Plan = {
    canary: Number(canary) || 0,
    percentages: fault ? [] : percents,
    automatic: automatic === "yes",
    max_failures: Number(failures) || 0,
  };
  const act = async () => {
    if (fault) throw new Error(fault);
    const body = { version: Number(version), plan };
    await post(ofOrganization(`policies/${policy.name}/rollouts`), body);
    toast(`Version ${version} is on its way`);
    started();
  };
  return (
    <Dialog title={`Roll out ${policy.name}`} action="Roll out" act={act} close={close}>
      <Choice
        label="Version"
        value={version}
        change={setVersion}
        options={versions.map(row => [`${row.version}`, label(row, policy)] as const)}
      />
      <div class="columns">
        <Field
          label="First so many agents"
          type="number"
          min="0"
          value={canary}
          change={setCanary}
        />
        <Field
          label="Then so many percent"
          hint="Several steps as 10, 50."
          fault={fault}
          value={percentages}
          change={setPercentages}
          autocomplete="off"
        />
      </div>
      <Choice
        label="The next step"
        value={automatic}
        change={setAutomatic}
        options={[
          ["yes", "By itself, when all of this one have applied"],
          ["no", "When a person says so"],
        ]}
      />
      <Field
        label="Halt when more agents refuse it than"
        type="number"
        min="0"
        value={failures}
        change={setFailures}
      />
      <p role="status">
        {total ? (
          <>
            <b>{plural(total, "agent")}</b>{" "}
            <span class="muted">in steps: {steps(plan, total)}</span>
          </>
        ) : (
          <span class="muted">It is for nobody yet: choose whom first.</span>
        )}
      </p>
    </Dialog>
  );
}

function steps(plan: Plan, total: number): string {
  return reaches(plan, total)
    .map(each => count(each))
    .join(" → ");
}

function label({ version, comment }: PolicyVersion, { head, stable }: Policy): string {
  const notes = [version === head && "newest", version === stable && "in use", comment];
  const told = notes.filter(Boolean).join(", ");
  return told ? `${version} (${told.slice(0, 60)})` : `${version}`;
}
