import { useState } from "preact/hooks";
import { AuthForm } from "../../../components/auth-form";
import { TextField } from "../../../components/field";
import { answerSecondFactor, type SignInResult } from "../../sign-in";

interface SecondFactorProps {
  challenge: string;
  onNext: (opened: SignInResult) => Promise<void>;
}

/** Asks for an authenticator code or a recovery code. */
export function SecondFactor({ challenge, onNext }: SecondFactorProps) {
  const [code, setCode] = useState("");
  return (
    <AuthForm
      title="Second factor"
      submitLabel="Continue"
      onSubmit={async () => onNext(await answerSecondFactor(challenge, code.trim()))}
      unauthorizedMessage="Invalid code. Codes change every 30 seconds and work once."
    >
      <CodeField value={code} onChange={setCode} hint="Or a recovery code" />
    </AuthForm>
  );
}

interface CodeFieldProps {
  value: string;
  onChange: (value: string) => void;
  hint?: string;
}

export function CodeField({ value, onChange, hint }: CodeFieldProps) {
  return (
    <TextField
      label="Authenticator code"
      hint={hint}
      name="code"
      autocomplete="one-time-code"
      required
      value={value}
      onChange={onChange}
    />
  );
}
