import { useState } from "preact/hooks";
import { Button } from "../../../components/button";
import { Dialog } from "../../../components/dialog";
import { TextField } from "../../../components/field";
import { showToast } from "../../../components/toasts";
import { post, put } from "../../../lib/api";
import type { Lifecycle } from "../../../lib/api-types";
import { hasRole, inOrganization, organizationPath } from "../../../lib/session";
import { splitWords } from "../policy/targets";

type ActionName = "lock" | "retire" | "checkpoint/accept";

const ACTIONS: Record<
  ActionName,
  { action: string; title: string; done: string; description: string }
> = {
  lock: {
    action: "Lock",
    title: "Lock",
    done: "locked",
    description:
      "The control plane closes its link and revokes its certificates. The agent keeps serving its secrets.",
  },
  retire: {
    action: "Retire",
    title: "Retire",
    done: "retired",
    description:
      "The control plane revokes its certificates permanently. The name cannot be used again.",
  },
  "checkpoint/accept": {
    action: "Accept",
    title: "Accept the audit log of",
    done: "starts a new witnessed audit log",
    description:
      "Accept the log only after you know why it contradicts the cosigned checkpoint. The control " +
      "plane cosigns the next checkpoint without a comparison, so missing records stay undetected. " +
      "The alerts about this log are resolved.",
  },
};

/** Locks or retires an agent. */
export function LifecycleActions({ vault, lifecycle }: { vault: string; lifecycle: Lifecycle }) {
  const [step, setStep] = useState<ActionName | null>(null);
  return (
    <>
      {lifecycle === "active" && hasRole("operator") && (
        <Button icon="lock" onClick={() => setStep("lock")}>
          Lock…
        </Button>
      )}
      {lifecycle === "locked" && hasRole("operator") && (
        <a class="button plain" href={inOrganization(`/enrolment?vault=${vault}&replace=1`)}>
          Enrol again…
        </a>
      )}
      {lifecycle !== "retired" && hasRole("admin") && (
        <Button kind="danger" onClick={() => setStep("retire")}>
          Retire…
        </Button>
      )}
      {step && <ConfirmAction vault={vault} step={step} onClose={() => setStep(null)} />}
    </>
  );
}

/** Shown while the agent's log contradicts the cosigned checkpoint. */
export function AcceptLogAction({ vault }: { vault: string }) {
  const [dialog, setDialog] = useState(false);
  if (!hasRole("admin")) return null;
  return (
    <>
      <Button kind="danger" onClick={() => setDialog(true)}>
        Accept log…
      </Button>
      {dialog && (
        <ConfirmAction vault={vault} step="checkpoint/accept" onClose={() => setDialog(false)} />
      )}
    </>
  );
}

function ConfirmAction({
  vault,
  step,
  onClose,
}: {
  vault: string;
  step: ActionName;
  onClose: () => void;
}) {
  const [reason, setReason] = useState("");
  const { action, title, done, description } = ACTIONS[step];
  const submit = async () => {
    await post(organizationPath(`agents/${vault}/${step}`), { reason });
    showToast(`${vault} ${done}`);
  };
  return (
    <Dialog
      title={`${title} ${vault}?`}
      submitLabel={action}
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p class="muted">{description}</p>
      <TextField label="Reason" value={reason} onChange={setReason} maxLength={1024} />
    </Dialog>
  );
}

/** Edits the tags of an agent. Policies that target tags follow. */
export function TagsAction({ vault, tags }: { vault: string; tags: readonly string[] }) {
  const [dialog, setDialog] = useState(false);
  if (!hasRole("operator")) return null;
  return (
    <>
      <Button onClick={() => setDialog(true)}>Edit tags…</Button>
      {dialog && <TagsDialog vault={vault} tags={tags} onClose={() => setDialog(false)} />}
    </>
  );
}

interface TagsDialogProps {
  vault: string;
  tags: readonly string[];
  onClose: () => void;
}

function TagsDialog({ vault, tags, onClose }: TagsDialogProps) {
  const [text, setText] = useState(tags.join(" "));
  const submit = async () => {
    await put(organizationPath(`agents/${vault}/tags`), { tags: splitWords(text) });
    showToast(`Tags of ${vault} saved`);
  };
  return (
    <Dialog title={`Tags of ${vault}`} submitLabel="Save" onSubmit={submit} onClose={onClose}>
      <TextField
        label="Tags"
        value={text}
        onChange={setText}
        autocomplete="off"
        hint="Separate tags with spaces. Allowed: a–z, 0–9 and ._:=/-. Policies that target a tag follow the change immediately."
      />
    </Dialog>
  );
}
