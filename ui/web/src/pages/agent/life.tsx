import { useState } from "preact/hooks";
import { post } from "../../lib/api";
import { may, ofOrganization, within } from "../../lib/session";
import type { Life } from "../../lib/types";
import { Button } from "../../parts/button";
import { Dialog } from "../../parts/dialog";
import { Field } from "../../parts/field";
import { toast } from "../../parts/toasts";

type Step = "lock" | "retire";

const TOLD: Record<Step, { action: string; done: string; means: string }> = {
  lock: {
    action: "Lock",
    done: "is locked",
    means: "Its link is cut and its certificates are revoked. It goes on serving what it has.",
  },
  retire: {
    action: "Retire",
    done: "is retired",
    means: "Its certificates are revoked for good, and its name cannot be used again.",
  },
};

/** Ends an agent's right to connect, for now or for good. */
export function LifeActions({ vault, life }: { vault: string; life: Life }) {
  const [step, setStep] = useState<Step | null>(null);
  return (
    <>
      {life === "active" && may("operator") && (
        <Button icon="lock" onClick={() => setStep("lock")}>
          Lock…
        </Button>
      )}
      {life === "locked" && may("operator") && (
        <a class="button plain" href={within(`/enrolment?vault=${vault}&replace=1`)}>
          Let in again…
        </a>
      )}
      {life !== "retired" && may("admin") && (
        <Button kind="danger" onClick={() => setStep("retire")}>
          Retire…
        </Button>
      )}
      {step && <Ask vault={vault} step={step} close={() => setStep(null)} />}
    </>
  );
}

function Ask({ vault, step, close }: { vault: string; step: Step; close: () => void }) {
  const [reason, setReason] = useState("");
  const { action, done, means } = TOLD[step];
  const act = async () => {
    await post(ofOrganization(`agents/${vault}/${step}`), { reason });
    toast(`${vault} ${done}`);
  };
  return (
    <Dialog title={`${action} ${vault}?`} action={action} danger act={act} close={close}>
      <p class="muted">{means}</p>
      <Field label="Reason" value={reason} change={setReason} maxLength={1024} />
    </Dialog>
  );
}
