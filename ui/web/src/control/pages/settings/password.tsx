import { useState } from "preact/hooks";
import { Card } from "../../../components/card";
import { TextField } from "../../../components/field";
import { Form } from "../../../components/form";
import { showToast } from "../../../components/toasts";
import { ApiError, put } from "../../../lib/api";
import { endLocalSession } from "../../../lib/session";

/** Changes the password. All sessions and API tokens end, including this session. */
export function ChangePassword() {
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  const [again, setAgain] = useState("");
  const submit = async () => {
    if (next !== again) throw new ApiError(0, "unlike", "The new passwords do not match.");
    await put("password", { old, new: next });
    showToast("Password changed. Sign in with the new password.");
    endLocalSession();
  };
  return (
    <Card title="Password">
      <Form submitLabel="Change password" onSubmit={submit}>
        <TextField
          label="Current password"
          type="password"
          autocomplete="current-password"
          required
          value={old}
          onChange={setOld}
        />
        <TextField
          label="New password"
          type="password"
          autocomplete="new-password"
          hint="At least 12 characters."
          required
          value={next}
          onChange={setNext}
        />
        <TextField
          label="Repeat new password"
          type="password"
          autocomplete="new-password"
          required
          value={again}
          onChange={setAgain}
        />
        <p class="muted whole">All your sessions and API tokens end, including this session.</p>
      </Form>
    </Card>
  );
}
