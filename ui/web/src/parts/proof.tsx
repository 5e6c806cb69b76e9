import { useRef, useState } from "preact/hooks";
import { post } from "../lib/api";
import { goToProvider } from "../lib/door";
import { asked } from "../lib/proof";
import { me } from "../lib/session";
import { Dialog } from "./dialog";
import { Field } from "./field";

/** Asks again who one is, when a request needs it; once in the shell. */
export function Proof() {
  const answer = asked.value;
  if (!answer) return null;
  const known = me.value;
  return known && !known.second_factor && !known.password ? (
    <Elsewhere home={known.home} answer={answer} />
  ) : (
    <Ask answer={answer} />
  );
}

/** Of whom only the organization's provider knows: a new login there is the proof. */
function Elsewhere({ home, answer }: { home: string; answer: (proven: boolean) => void }) {
  const act = async () => {
    await goToProvider(home);
    await new Promise(() => {}); // the page is on its way
  };
  return (
    <Dialog
      title="Show that it is you"
      action="Go to your provider"
      act={act}
      close={() => answer(false)}
    >
      <p class="muted">
        What you are about to do asks for it again after ten minutes. Your organization's provider
        sends you back to the first page; then do it again.
      </p>
    </Dialog>
  );
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
