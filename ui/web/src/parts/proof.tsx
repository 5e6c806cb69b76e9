import { useRef, useState } from "preact/hooks";
import { post } from "../lib/api";
import { asked } from "../lib/proof";
import { me } from "../lib/session";
import { Dialog } from "./dialog";
import { Field } from "./field";

/** Asks again who one is, when a request needs it; once in the shell. */
export function Proof() {
  const answer = asked.value;
  return answer && <Ask answer={answer} />;
}

function Ask({ answer }: { answer: (proven: boolean) => void }) {
  const [given, setGiven] = useState("");
  const proven = useRef(false);
  const hasFactor = me.value?.second_factor;
  const act = async () => {
    await post(
      "sessions/current/confirm",
      hasFactor ? { code: given.trim() } : { password: given },
    );
    proven.current = true;
  };
  return (
    <Dialog
      title="Show that it is you"
      action="Go on"
      act={act}
      close={() => answer(proven.current)}
    >
      <p class="muted">What you are about to do asks for it again after ten minutes.</p>
      {hasFactor ? (
        <Field
          label="Code of your authenticator"
          autocomplete="one-time-code"
          required
          value={given}
          change={setGiven}
        />
      ) : (
        <Field
          label="Password"
          type="password"
          autocomplete="current-password"
          required
          value={given}
          change={setGiven}
        />
      )}
    </Dialog>
  );
}
