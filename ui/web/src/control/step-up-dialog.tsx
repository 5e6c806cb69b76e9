import { useRef, useState } from "preact/hooks";
import { Dialog } from "../components/dialog";
import { TextField } from "../components/field";
import { post } from "../lib/api";
import { currentUser } from "../lib/session";
import { pendingStepUp } from "../lib/step-up";
import { startProviderSignIn } from "./sign-in";

/** Asks again who one is, when a request needs it; once in the shell. */
export function StepUpDialog() {
  const answer = pendingStepUp.value;
  if (!answer) return null;
  const known = currentUser.value;
  return known && !known.second_factor && !known.password ? (
    <ProviderStepUp home={known.home} answer={answer} />
  ) : (
    <CredentialStepUp answer={answer} />
  );
}

/** Of whom only the organization's provider knows: a new login there is the proof. */
function ProviderStepUp({ home, answer }: { home: string; answer: (proven: boolean) => void }) {
  const act = async () => {
    await startProviderSignIn(home);
    await new Promise(() => {}); // the page is on its way
  };
  return (
    <Dialog
      title="Show that it is you"
      submitLabel="Go to your provider"
      onSubmit={act}
      onClose={() => answer(false)}
    >
      <p class="muted">
        What you are about to do asks for it again after ten minutes. Your organization's provider
        sends you back to the first page; then do it again.
      </p>
    </Dialog>
  );
}

function CredentialStepUp({ answer }: { answer: (proven: boolean) => void }) {
  const [given, setGiven] = useState("");
  const proven = useRef(false);
  const hasFactor = currentUser.value?.second_factor;
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
      submitLabel="Go on"
      onSubmit={act}
      onClose={() => answer(proven.current)}
    >
      <p class="muted">What you are about to do asks for it again after ten minutes.</p>
      {hasFactor ? (
        <TextField
          label="Code of your authenticator"
          autocomplete="one-time-code"
          required
          value={given}
          onChange={setGiven}
        />
      ) : (
        <TextField
          label="Password"
          type="password"
          autocomplete="current-password"
          required
          value={given}
          onChange={setGiven}
        />
      )}
    </Dialog>
  );
}
