import { useEffect, useState } from "preact/hooks";
import { AuthForm } from "../../../components/auth-form";
import { CodeBlock } from "../../../components/code-block";
import { CopyButton } from "../../../components/copy-button";
import { ErrorState, Loading } from "../../../components/states";
import { type ApiError, asApiError } from "../../../lib/api";
import {
  type AuthenticatorSetup as Begun,
  confirmSecondFactorSetup,
  startSecondFactorSetup,
} from "../../sign-in";
import { CodeField } from "./second-factor";

interface SecondFactorSetupProps {
  challenge: string;
  /** Called when the user is signed in and has saved the recovery codes. */
  onDone: () => Promise<void>;
}

/** Sets up a second factor during sign-in, because the organization requires one. */
export function SecondFactorSetup({ challenge, onDone }: SecondFactorSetupProps) {
  const [setup, setSetup] = useState<Begun | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [code, setCode] = useState("");
  const [recovery, setRecovery] = useState<string[] | null>(null);
  useEffect(() => {
    startSecondFactorSetup(challenge).then(setSetup, thrown => setError(asApiError(thrown)));
  }, [challenge]);
  const confirm = async () => setRecovery(await confirmSecondFactorSetup(challenge, code.trim()));
  if (error) return <ErrorState error={error} />;
  if (!setup) return <Loading />;
  if (recovery) return <RecoveryCodes codes={recovery} onDone={onDone} />;
  return (
    <AuthForm
      title="Set up a second factor"
      submitLabel="Confirm"
      onSubmit={confirm}
      unauthorizedMessage="Invalid code. Check that the clock of your device is correct."
    >
      <p class="muted">
        Your organization requires a second factor. Scan this QR code with an authenticator app, or
        enter the key.
      </p>
      <img class="picture" src={setup.picture} alt="QR code for an authenticator app" />
      <p class="line">
        <code>{setup.secret}</code>
        <CopyButton text={setup.secret} label="Copy the key" />
      </p>
      <CodeField value={code} onChange={setCode} />
    </AuthForm>
  );
}

interface RecoveryCodesProps {
  codes: readonly string[];
  onDone: () => Promise<void>;
}

function RecoveryCodes({ codes, onDone }: RecoveryCodesProps) {
  return (
    <AuthForm
      title="Recovery codes"
      submitLabel="I have saved them"
      onSubmit={onDone}
      unauthorizedMessage=""
    >
      <p class="muted">
        If you lose your authenticator, each code works once. The codes are not shown again.
      </p>
      <CodeBlock label="Recovery codes" text={codes.join("\n")} />
    </AuthForm>
  );
}
