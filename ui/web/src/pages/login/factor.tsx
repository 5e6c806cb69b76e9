import { useState } from "preact/hooks";
import { answer, type Opened } from "../../lib/door";
import { Field } from "../../parts/field";
import { Step } from "./step";

interface FactorProps {
  challenge: string;
  next: (opened: Opened) => Promise<void>;
}

/** The code of an authenticator, or a recovery code. */
export function Factor({ challenge, next }: FactorProps) {
  const [code, setCode] = useState("");
  return (
    <Step
      title="Second step"
      action="Go on"
      act={async () => next(await answer(challenge, code.trim()))}
      refused="This code does not count. Codes change every 30 seconds, and each is good once."
    >
      <CodeField value={code} change={setCode} hint="Or one of your recovery codes" />
    </Step>
  );
}

interface CodeFieldProps {
  value: string;
  change: (value: string) => void;
  hint?: string;
}

export function CodeField({ value, change, hint }: CodeFieldProps) {
  return (
    <Field
      label="Code of your authenticator"
      hint={hint}
      name="code"
      autocomplete="one-time-code"
      required
      value={value}
      change={change}
    />
  );
}
