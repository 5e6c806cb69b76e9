import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card, DescriptionList } from "../../../components/card";
import { Dialog } from "../../../components/dialog";
import { SelectField, TextField } from "../../../components/field";
import { Timestamp } from "../../../components/time";
import { showToast } from "../../../components/toasts";
import { patch, put, remove } from "../../../lib/api";
import type { Role } from "../../../lib/api-types";
import { currentUser, inOrganization, organization, organizationPath } from "../../../lib/session";
import { memberPath, type Person, ROLE_OPTIONS } from "./api-types";

interface MemberCardProps {
  person: Person;
  onChanged: () => void;
  onRemoved: () => void;
}

type MemberAction = "role" | "disable" | "enable" | "factor" | "password" | "delete";

/** One member and the actions on it. Each action ends the member's sessions here. */
export function MemberCard({ person, onChanged, onRemoved }: MemberCardProps) {
  const [step, setStep] = useState<MemberAction | null>(null);
  const { account, home, name, role } = person;
  const press = (next: MemberAction) => () => setStep(next);
  return (
    <Card title={home ? `${home}/${name}` : name} aside={<MemberBadge person={person} />}>
      <div class="stack">
        <DescriptionList
          rows={[
            ["Role", role],
            ["Account", home ? `Account of ${home}` : account?.disabled ? "Disabled" : "Active"],
            ["Email", account?.email || "–"],
            ["Member since", <Timestamp key="since" at={person.created_at} />],
            ["Last sign-in", <Timestamp key="last" at={account?.last_login} />],
          ]}
        />
        <div class="line">
          <Button onClick={press("role")}>Change role…</Button>
          {account && (
            <>
              <Button onClick={press(account.disabled ? "enable" : "disable")}>
                {account.disabled ? "Enable…" : "Disable…"}
              </Button>
              {account.second_factor && (
                <Button onClick={press("factor")}>Reset second factor…</Button>
              )}
              <Button onClick={press("password")}>Set password…</Button>
            </>
          )}
          <Button kind="danger" onClick={press("delete")}>
            {home ? "Remove member…" : "Delete account…"}
          </Button>
          <a href={inOrganization(`/audit?actor=${home || organization.value}/${name}`)}>
            Show in audit log
          </a>
        </div>
      </div>
      {step === "role" && (
        <ChangeRole person={person} onClose={() => setStep(null)} onDone={onChanged} />
      )}
      {step === "password" && <SetPassword person={person} onClose={() => setStep(null)} />}
      {step && step !== "role" && step !== "password" && (
        <ConfirmDialog
          person={person}
          step={step}
          onClose={() => setStep(null)}
          onDone={step === "delete" ? onRemoved : onChanged}
        />
      )}
    </Card>
  );
}

function MemberBadge({ person: { account, home, name } }: { person: Person }) {
  const isMe =
    currentUser.value?.name === name && currentUser.value.home === (home || organization.value);
  if (isMe) return <StatusBadge status="info" label="You" />;
  return account?.disabled ? <StatusBadge status="disabled" /> : null;
}

interface ActionDialogProps {
  person: Person;
  onClose: () => void;
  onDone: () => void;
}

function ChangeRole({ person, onClose, onDone }: ActionDialogProps) {
  const [role, setRole] = useState<string>(person.role);
  const submit = async () => {
    await patch(organizationPath(memberPath(person)), { role });
    showToast(`Role of ${person.name} changed to ${role}`);
    onDone();
  };
  return (
    <Dialog
      title={`Change role of ${person.name}`}
      submitLabel="Change"
      onSubmit={submit}
      onClose={onClose}
    >
      <SelectField
        label="Role"
        value={role}
        onChange={value => setRole(value as Role)}
        options={ROLE_OPTIONS}
      />
      <p class="muted">Their sessions and API tokens in this organization end immediately.</p>
    </Dialog>
  );
}

function SetPassword({ person, onClose }: Omit<ActionDialogProps, "onDone">) {
  const [password, setPassword] = useState("");
  const submit = async () => {
    await put(organizationPath(`${memberPath(person)}/password`), { password });
    showToast(`Password of ${person.name} set`);
  };
  return (
    <Dialog
      title={`Set password of ${person.name}`}
      submitLabel="Set password"
      onSubmit={submit}
      onClose={onClose}
    >
      <TextField
        label="New password"
        type="password"
        autocomplete="new-password"
        hint="At least 12 characters. Ask them to change it after signing in."
        required
        value={password}
        onChange={setPassword}
      />
      <p class="muted">All their sessions and API tokens end immediately.</p>
    </Dialog>
  );
}

interface ConfirmableAction {
  title: string;
  action: string;
  description: string;
  done: string;
  danger: boolean;
  run: (at: string) => Promise<unknown>;
}

const CONFIRMABLE_ACTIONS: Record<Exclude<MemberAction, "role" | "password">, ConfirmableAction> = {
  disable: {
    title: "Disable NAME?",
    action: "Disable",
    description: "They can no longer sign in. Their sessions and API tokens end immediately.",
    done: "NAME disabled",
    danger: true,
    run: at => patch(organizationPath(at), { disabled: true }),
  },
  enable: {
    title: "Enable NAME?",
    action: "Enable",
    description: "They can sign in again with their current role.",
    done: "NAME enabled",
    danger: false,
    run: at => patch(organizationPath(at), { disabled: false }),
  },
  factor: {
    title: "Reset the second factor of NAME?",
    action: "Reset",
    description:
      "Use this when somebody has lost their authenticator. They sign in with the password alone until they set up a new one. Verify who asks first. All their sessions and API tokens end.",
    done: "Second factor of NAME reset",
    danger: true,
    run: at => remove(organizationPath(`${at}/second-factor`)),
  },
  delete: {
    title: "Remove NAME?",
    action: "Remove",
    description:
      "Their sessions and API tokens here end immediately. The audit log keeps what they did.",
    done: "NAME removed",
    danger: true,
    run: at => remove(organizationPath(at)),
  },
};

function ConfirmDialog({
  person,
  step,
  onClose,
  onDone,
}: ActionDialogProps & { step: keyof typeof CONFIRMABLE_ACTIONS }) {
  const { action, run, danger, done: message, title, description } = CONFIRMABLE_ACTIONS[step];
  const submit = async () => {
    await run(memberPath(person));
    showToast(message.replace("NAME", person.name));
    onDone();
  };
  return (
    <Dialog
      title={title.replace("NAME", person.name)}
      submitLabel={action}
      danger={danger}
      onSubmit={submit}
      onClose={onClose}
    >
      <p class="muted">{description}</p>
    </Dialog>
  );
}
