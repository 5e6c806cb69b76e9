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

const ACTIONS: Record<ActionName, { action: string; title: string; done: string; means: string }> =
  {
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
        "Acknowledge the alert separately.",
    },
  };

/** Ends an agent's right to connect, for now or for good. */
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
          Let in again…
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

/** Shown while an agent's log contradicts what was cosigned: a person decides what becomes of it. */
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
  const { action, title, done, means } = ACTIONS[step];
  const act = async () => {
    await post(organizationPath(`agents/${vault}/${step}`), { reason });
    showToast(`${vault} ${done}`);
  };
  return (
    <Dialog
      title={`${title} ${vault}?`}
      submitLabel={action}
      danger
      onSubmit={act}
      onClose={onClose}
    >
      <p class="muted">{means}</p>
      <TextField label="Reason" value={reason} onChange={setReason} maxLength={1024} />
    </Dialog>
  );
}

/** What an agent is filed under; policies by tag follow. */
export function TagsAction({ vault, tags }: { vault: string; tags: readonly string[] }) {
  const [dialog, setDialog] = useState(false);
  if (!hasRole("operator")) return null;
  return (
    <>
      <Button onClick={() => setDialog(true)}>Tags…</Button>
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
  const act = async () => {
    await put(organizationPath(`agents/${vault}/tags`), { tags: splitWords(text) });
    showToast(`The tags of ${vault} are changed`);
  };
  return (
    <Dialog title={`Tags of ${vault}`} submitLabel="Save" onSubmit={act} onClose={onClose}>
      <TextField
        label="Tags"
        value={text}
        onChange={setText}
        autocomplete="off"
        hint="Words of a–z, 0–9 and ._:=/- with spaces between. Policies for a tag reach it, or leave it, at once."
      />
    </Dialog>
  );
}
