import { useRef, useState } from "preact/hooks";
import { Dialog } from "../components/dialog";
import { TextField } from "../components/field";
import { post } from "../lib/api";
import { currentUser } from "../lib/session";
import { pendingStepUp } from "../lib/step-up";
import { startProviderSignIn } from "./sign-in";

/** Confirms the user's identity for a pending request. Rendered once, by the app. */
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

/** For accounts without password and second factor: a new sign-in with the provider. */
function ProviderStepUp({ home, answer }: { home: string; answer: (proven: boolean) => void }) {
  const submit = async () => {
    await startProviderSignIn(home);
    await new Promise(() => {}); // the page is being left
  };
  return (
    <Dialog
      title="Confirm your identity"
      submitLabel="Continue to identity provider"
      onSubmit={submit}
      onClose={() => answer(false)}
    >
      <p class="muted">
        This action requires a sign-in within the last 10 minutes. Your identity provider returns
        you to the start page; then repeat the action.
      </p>
    </Dialog>
  );
}

function CredentialStepUp({ answer }: { answer: (proven: boolean) => void }) {
  const [given, setGiven] = useState("");
  const proven = useRef(false);
  const hasFactor = currentUser.value?.second_factor;
  const submit = async () => {
    await post(
      "sessions/current/confirm",
      hasFactor ? { code: given.trim() } : { password: given },
    );
    proven.current = true;
  };
  return (
    <Dialog
      title="Confirm your identity"
      submitLabel="Confirm"
      onSubmit={submit}
      onClose={() => answer(proven.current)}
    >
      <p class="muted">This action requires confirmation within the last 10 minutes.</p>
      {hasFactor ? (
        <TextField
          label="Authenticator code"
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
