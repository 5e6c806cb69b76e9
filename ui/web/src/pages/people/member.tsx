import { useState } from "preact/hooks";
import { patch, put, remove } from "../../lib/api";
import { me, ofOrganization, organization, within } from "../../lib/session";
import type { Role } from "../../lib/types";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card, Facts } from "../../parts/card";
import { Dialog } from "../../parts/dialog";
import { Choice, Field } from "../../parts/field";
import { Moment } from "../../parts/time";
import { toast } from "../../parts/toasts";
import { type Person, pathOf, ROLES } from "./wire";

interface OneProps {
  of: Person;
  changed: () => void;
  gone: () => void;
}

type Step = "role" | "disable" | "enable" | "factor" | "password" | "delete";

/** One member, and what an admin can do about them. Each of these ends their sessions here. */
export function One({ of, changed, gone }: OneProps) {
  const [step, setStep] = useState<Step | null>(null);
  const { account, home, name, role } = of;
  const press = (next: Step) => () => setStep(next);
  return (
    <Card title={home ? `${home}/${name}` : name} aside={<Mine of={of} />}>
      <div class="stack">
        <Facts
          rows={[
            ["Role", role],
            [
              "Account",
              home ? `of ${home}` : account?.disabled ? "disabled" : "of this organization",
            ],
            ["Email", account?.email || "–"],
            ["Since", <Moment key="since" at={of.created_at} />],
            ["Signed in", <Moment key="last" at={account?.last_login} />],
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
              <Button onClick={press("password")}>New password…</Button>
            </>
          )}
          <Button kind="danger" onClick={press("delete")}>
            {home ? "End membership…" : "Delete…"}
          </Button>
          <a href={within(`/audit?actor=${home || organization.value}/${name}`)}>What they did</a>
        </div>
      </div>
      {step === "role" && <NewRole of={of} close={() => setStep(null)} done={changed} />}
      {step === "password" && <NewPassword of={of} close={() => setStep(null)} />}
      {step && step !== "role" && step !== "password" && (
        <Sure
          of={of}
          step={step}
          close={() => setStep(null)}
          done={step === "delete" ? gone : changed}
        />
      )}
    </Card>
  );
}

function Mine({ of: { account, home, name } }: { of: Person }) {
  const isMe = me.value?.name === name && me.value.home === (home || organization.value);
  if (isMe) return <State of="info" label="This is you" />;
  return account?.disabled ? <State of="disabled" /> : null;
}

interface StepProps {
  of: Person;
  close: () => void;
  done: () => void;
}

function NewRole({ of, close, done }: StepProps) {
  const [role, setRole] = useState<string>(of.role);
  const act = async () => {
    await patch(ofOrganization(pathOf(of)), { role });
    toast(`${of.name} is ${role} now`);
    done();
  };
  return (
    <Dialog title={`Another role for ${of.name}`} action="Change" act={act} close={close}>
      <Choice label="Role" value={role} change={value => setRole(value as Role)} options={ROLES} />
      <p class="muted">Their sessions and API tokens here end at once.</p>
    </Dialog>
  );
}

function NewPassword({ of, close }: Omit<StepProps, "done">) {
  const [password, setPassword] = useState("");
  const act = async () => {
    await put(ofOrganization(`${pathOf(of)}/password`), { password });
    toast(`${of.name} has another password`);
  };
  return (
    <Dialog title={`Another password for ${of.name}`} action="Set it" act={act} close={close}>
      <Field
        label="New password"
        type="password"
        autocomplete="new-password"
        hint="At least 12 characters. Tell them, and have them change it."
        required
        value={password}
        change={setPassword}
      />
      <p class="muted">All their sessions and API tokens end at once.</p>
    </Dialog>
  );
}

interface Act {
  title: string;
  action: string;
  told: string;
  done: string;
  danger: boolean;
  act: (at: string) => Promise<unknown>;
}

const ACTS: Record<Exclude<Step, "role" | "password">, Act> = {
  disable: {
    title: "Disable NAME?",
    action: "Disable",
    told: "They cannot sign in any more, and their sessions and API tokens end at once.",
    done: "NAME is disabled",
    danger: true,
    act: at => patch(ofOrganization(at), { disabled: true }),
  },
  enable: {
    title: "Enable NAME?",
    action: "Enable",
    told: "They may sign in again, in the role they have.",
    done: "NAME may sign in",
    danger: false,
    act: at => patch(ofOrganization(at), { disabled: false }),
  },
  factor: {
    title: "Reset the second factor of NAME?",
    action: "Reset",
    told: "For somebody who lost it: they sign in with the password alone until they set one up anew. Make sure that it is them who asks. All their sessions and API tokens end.",
    done: "NAME has no second factor any more",
    danger: true,
    act: at => remove(ofOrganization(`${at}/second-factor`)),
  },
  delete: {
    title: "Remove NAME?",
    action: "Remove",
    told: "What they hold as credentials here ends at once. What they did stays on the trail.",
    done: "NAME is no member any more",
    danger: true,
    act: at => remove(ofOrganization(at)),
  },
};

function Sure({ of, step, close, done }: StepProps & { step: keyof typeof ACTS }) {
  const { action, act, danger, done: word, title, told } = ACTS[step];
  const sure = async () => {
    await act(pathOf(of));
    toast(word.replace("NAME", of.name));
    done();
  };
  return (
    <Dialog
      title={title.replace("NAME", of.name)}
      action={action}
      danger={danger}
      act={sure}
      close={close}
    >
      <p class="muted">{told}</p>
    </Dialog>
  );
}
