import { useState } from "preact/hooks";
import { ApiError, put } from "../../lib/api";
import { leave } from "../../lib/session";
import { Card } from "../../parts/card";
import { Field } from "../../parts/field";
import { Form } from "../../parts/form";
import { toast } from "../../parts/toasts";

/** Another password of one's own. Everything one is signed in with ends, this session too. */
export function Password() {
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  const [again, setAgain] = useState("");
  const act = async () => {
    if (next !== again) throw new ApiError(0, "unlike", "The two new passwords are not the same.");
    await put("password", { old, new: next });
    toast("Sign in with the new password");
    leave();
  };
  return (
    <Card title="Password">
      <Form action="Change password" act={act}>
        <Field
          label="Password that is"
          type="password"
          autocomplete="current-password"
          required
          value={old}
          change={setOld}
        />
        <Field
          label="New password"
          type="password"
          autocomplete="new-password"
          hint="At least 12 characters."
          required
          value={next}
          change={setNext}
        />
        <Field
          label="New password again"
          type="password"
          autocomplete="new-password"
          required
          value={again}
          change={setAgain}
        />
        <p class="muted whole">Your sessions and API tokens end, this session too.</p>
      </Form>
    </Card>
  );
}
