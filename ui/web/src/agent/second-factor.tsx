import { useState } from "preact/hooks";
import { AuthForm } from "../components/auth-form";
import { Button } from "../components/button";
import { TextField } from "../components/field";
import { Notice } from "../components/states";
import { post } from "../lib/api";
import { useAction } from "../lib/hooks";
import { type CredentialOptions, hasPasskeys, signWithPasskey } from "../lib/passkeys";

/** A login that waits for its second factor (`202` of `auth/login/…`). */
export interface WaitingLogin {
  mfa_request_id: string;
  needed: { enforcement: string; any: { id: string; type: string; name: string }[] }[];
}

interface Props {
  waiting: WaitingLogin;
  /** Called with the token of the finished login. Errors that it throws are shown. */
  onToken: (token: string) => Promise<void>;
  onCancel: () => void;
}

/** Whether a login's answer says that it waits for a second factor. */
export function isWaiting(answer: object): answer is WaitingLogin {
  return "mfa_request_id" in answer;
}

/** Asks for the second factor of a login: a code, a recovery code or a passkey. */
export function SecondFactor({ waiting, onToken, onCancel }: Props) {
  const [code, setCode] = useState("");
  const finish = async (shown: object) => {
    const body = { mfa_request_id: waiting.mfa_request_id, ...shown };
    const { token } = await post<{ token: string }>("mfa/login", body);
    await onToken(token);
  };
  const byPasskey = useAction(async () => {
    const { options } = await post<{ options: CredentialOptions }>("mfa/login/passkey", {
      mfa_request_id: waiting.mfa_request_id,
    });
    await finish({ assertion: await signWithPasskey(options) });
  });
  const types = new Set(waiting.needed.flatMap(({ any }) => any.map(({ type }) => type)));
  return (
    <AuthForm
      title="Second factor"
      submitLabel="Continue"
      onSubmit={() => finish({ passcode: code.trim() })}
      unauthorizedMessage="Invalid code, or the sign-in took too long."
      extraActions={
        <>
          {byPasskey.error && <Notice tone="bad">{byPasskey.error.message}</Notice>}
          {types.has("webauthn") && hasPasskeys() && (
            <Button type="button" busy={byPasskey.busy} onClick={byPasskey.run}>
              Use a passkey
            </Button>
          )}
          <Button type="button" kind="quiet" onClick={onCancel}>
            Cancel
          </Button>
        </>
      }
    >
      <TextField
        label="Code"
        name="code"
        autocomplete="one-time-code"
        required
        maxLength={64}
        hint="Of your authenticator app, or a recovery code."
        value={code}
        onChange={setCode}
      />
    </AuthForm>
  );
}
