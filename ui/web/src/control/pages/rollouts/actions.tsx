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
  /** A finished rollout whose version is still stable: it can be rolled back. */
  revocable?: boolean;
}

/** The actions that the state of the rollout permits. */
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
          {isLast ? "Finish…" : row.state === "halted" ? "Resume…" : "Advance…"}
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
  // The step at the time of asking: a second confirmation must not advance by two steps.
  const [at] = useState(row.step);
  const { title, action, description, done } = confirmationText(step, { ...row, step: at });
  const submit = async () => {
    const body = step === "advance" ? { step: at } : { reason };
    await post(organizationPath(`rollouts/${row.key}/${step}`), body);
    showToast(done);
  };
  return (
    <Dialog
      title={title}
      submitLabel={action}
      danger={step === "rollback"}
      onSubmit={submit}
      onClose={onClose}
    >
      <p class="muted">{description}</p>
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
      title: `Halt rollout of ${what}?`,
      action: "Halt",
      description: "Agents with the new version keep it. No other agent gets it.",
      done: `Rollout of ${what} halted`,
    };
  if (step === "advance" && at + 1 >= steps)
    return {
      title: `Finish rollout of ${what}?`,
      action: "Finish",
      description: "All target agents get this version. Offline agents get it when they reconnect.",
      done: `Rollout of ${what} finished`,
    };
  if (step === "advance")
    return {
      title: `Advance ${what} to step ${at + 2} of ${steps}?`,
      action: state === "halted" ? "Resume" : "Advance",
      description:
        "The step starts now, even if agents of the current step are pending or have failed.",
      done: `Rollout of ${what} advanced`,
    };
  return {
    title: `Roll back ${what}?`,
    action: "Roll back",
    description: previous
      ? `Every agent with this version gets version ${previous} again.`
      : "There is no earlier version. Every agent with this version loses the policy.",
    done: `${what} rolled back`,
  };
}
