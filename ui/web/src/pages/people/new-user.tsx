import { useState } from "preact/hooks";
import { post } from "../../lib/api";
import { ofOrganization } from "../../lib/session";
import { Dialog } from "../../parts/dialog";
import { Choice, Field } from "../../parts/field";
import { toast } from "../../parts/toasts";
import { ROLES, SLUG } from "./wire";

/** An account made by an admin; an invitation is better, for nobody else knows the password then. */
export function NewUser({ close, made }: { close: () => void; made: () => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState("viewer");
  const [password, setPassword] = useState("");
  const act = async () => {
    await post(ofOrganization("users"), { name, role, password });
    toast(`${name} may sign in`);
    made();
  };
  return (
    <Dialog title="An account with a password" action="Make it" act={act} close={close}>
      <p class="muted">
        An invitation is better where it can be: then only they know the password.
      </p>
      <Field
        label="Name"
        value={name}
        change={setName}
        pattern={SLUG}
        maxLength={64}
        autocomplete="off"
        required
      />
      <Choice label="Role" value={role} change={setRole} options={ROLES} />
      <Field
        label="First password"
        type="password"
        autocomplete="new-password"
        hint="At least 12 characters."
        value={password}
        change={setPassword}
        required
      />
    </Dialog>
  );
}
