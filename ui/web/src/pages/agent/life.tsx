import { useState } from "preact/hooks";
import { post } from "../../lib/api";
import { may, ofOrganization, within } from "../../lib/session";
import type { Life } from "../../lib/types";
import { Button } from "../../parts/button";
import { Dialog } from "../../parts/dialog";
import { Field } from "../../parts/field";
import { toast } from "../../parts/toasts";

type Step = "lock" | "retire" | "checkpoint/accept";

const TOLD: Record<Step, { action: string; title: string; done: string; means: string }> = {
  lock: {
    action: "Lock",
    title: "Lock",
    done: "is locked",
    means: "Its link is cut and its certificates are revoked. It goes on serving what it has.",
  },
  retire: {
    action: "Retire",
    title: "Retire",
    done: "is retired",
    means: "Its certificates are revoked for good, and its name cannot be used again.",
  },
  "checkpoint/accept": {
    action: "Accept",
    title: "Accept the audit log of",
    done: "starts a new witnessed log",
    means:
      "Do this only after you have found out why the log contradicts what was cosigned. The next " +
      "checkpoint is cosigned as it is, and records that are missing are no longer noticed. " +
      "The alerts about this log are resolved.",
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

/** Shown while an agent's log contradicts what was cosigned: a person decides what becomes of it. */
export function AcceptLog({ vault }: { vault: string }) {
  const [asks, setAsks] = useState(false);
  if (!may("admin")) return null;
  return (
    <>
      <Button kind="danger" onClick={() => setAsks(true)}>
        Accept log…
      </Button>
      {asks && <Ask vault={vault} step="checkpoint/accept" close={() => setAsks(false)} />}
    </>
  );
}

function Ask({ vault, step, close }: { vault: string; step: Step; close: () => void }) {
  const [reason, setReason] = useState("");
  const { action, title, done, means } = TOLD[step];
  const act = async () => {
    await post(ofOrganization(`agents/${vault}/${step}`), { reason });
    toast(`${vault} ${done}`);
  };
  return (
    <Dialog title={`${title} ${vault}?`} action={action} danger act={act} close={close}>
      <p class="muted">{means}</p>
      <Field label="Reason" value={reason} change={setReason} maxLength={1024} />
    </Dialog>
  );
}
