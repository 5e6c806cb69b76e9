import { useState } from "preact/hooks";
import { Dialog } from "../../../components/dialog";
import { SelectField, TextField } from "../../../components/field";
import { showToast } from "../../../components/toasts";
import { post } from "../../../lib/api";
import { organizationPath } from "../../../lib/session";
import { ROLE_OPTIONS, SLUG_PATTERN } from "./api-types";

/** An account made by an admin; an invitation is better, for nobody else knows the password then. */
export function CreateUser({ onClose, onCreated }: { onClose: () => void; onCreated: () => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState("viewer");
  const [password, setPassword] = useState("");
  const act = async () => {
    await post(organizationPath("users"), { name, role, password });
    showToast(`${name} may sign in`);
    onCreated();
  };
  return (
    <Dialog
      title="An account with a password"
      submitLabel="Make it"
      onSubmit={act}
      onClose={onClose}
    >
      <p class="muted">
        An invitation is better where it can be: then only they know the password.
      </p>
      <TextField
        label="Name"
        value={name}
        onChange={setName}
        pattern={SLUG_PATTERN}
        maxLength={64}
        autocomplete="off"
        required
      />
      <SelectField label="Role" value={role} onChange={setRole} options={ROLE_OPTIONS} />
      <TextField
        label="First password"
        type="password"
        autocomplete="new-password"
        hint="At least 12 characters."
        value={password}
        onChange={setPassword}
        required
      />
    </Dialog>
  );
}
