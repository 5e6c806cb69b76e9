import { useState } from "preact/hooks";
import { Button } from "../../../components/button";
import { Dialog } from "../../../components/dialog";
import { TextField } from "../../../components/field";
import { showToast } from "../../../components/toasts";
import { post } from "../../../lib/api";
import type { RolloutRow } from "../../../lib/api-types";
import type { WithKey } from "../../../lib/collection";
import { hasRole, organizationPath } from "../../../lib/session";

type RolloutAction = "halt" | "advance" | "rollback";

interface RolloutActionsProps {
  row: WithKey<RolloutRow>;
  /** It is done, and its version is still the one in general use: it can be taken back. */
  revocable?: boolean;
}

/** What a person may do to a roll-out as it stands. */
export function RolloutActions({ row, revocable = false }: RolloutActionsProps) {
  const [step, setStep] = useState<RolloutAction | null>(null);
  const open = row.state === "running" || row.state === "halted";
  if (!hasRole("operator") || (!open && !revocable)) return null;
  const isLast = row.step + 1 >= row.steps;
  return (
    <span class="line">
      {row.state === "running" && <Button onClick={() => setStep("halt")}>Halt…</Button>}
      {open && (
        <Button onClick={() => setStep("advance")}>
          {isLast ? "Finish…" : row.state === "halted" ? "Resume…" : "Next step…"}
        </Button>
      )}
      <Button kind="danger" onClick={() => setStep("rollback")}>
        Roll back…
      </Button>
      {step && <ConfirmAction row={row} step={step} onClose={() => setStep(null)} />}
    </span>
  );
}

interface ConfirmActionProps {
  row: WithKey<RolloutRow>;
  step: RolloutAction;
  onClose: () => void;
}

function ConfirmAction({ row, step, onClose }: ConfirmActionProps) {
  const [reason, setReason] = useState("");
  // As it was asked about: said twice, or behind another's, it must not go two steps.
  const [at] = useState(row.step);
  const { title, action, means, done } = confirmationText(step, { ...row, step: at });
  const act = async () => {
    const body = step === "advance" ? { step: at } : { reason };
    await post(organizationPath(`rollouts/${row.key}/${step}`), body);
    showToast(done);
  };
  return (
    <Dialog
      title={title}
      submitLabel={action}
      danger={step === "rollback"}
      onSubmit={act}
      onClose={onClose}
    >
      <p class="muted">{means}</p>
      {step !== "advance" && (
        <TextField label="Reason" value={reason} onChange={setReason} maxLength={1024} />
      )}
    </Dialog>
  );
}

function confirmationText(
  step: RolloutAction,
  { policy, previous, version, step: at, steps, state }: RolloutRow,
) {
  const what = `${policy} version ${version}`;
  if (step === "halt")
    return {
      title: `Halt the roll-out of ${what}?`,
      action: "Halt",
      means: "Agents that have the new version keep it; no others get it.",
      done: `The roll-out of ${what} is halted`,
    };
  if (step === "advance" && at + 1 >= steps)
    return {
      title: `Finish the roll-out of ${what}?`,
      action: "Finish",
      means:
        "It is the version for all from now on. Agents that have not got it get it when they come back.",
      done: `${what} is the version for all`,
    };
  if (step === "advance")
    return {
      title: `Step ${at + 2} of ${steps} for ${what}?`,
      action: state === "halted" ? "Resume" : "Next step",
      means: "It begins now, whoever is still waited for or has refused.",
      done: `The roll-out of ${what} goes on`,
    };
  return {
    title: `Roll back ${what}?`,
    action: "Roll back",
    means: previous
      ? `Every agent that has it gets version ${previous} again.`
      : "There was no version before: every agent that has it loses this policy.",
    done: `${what} is rolled back`,
  };
}
