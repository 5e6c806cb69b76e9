import { useEffect, useState } from "preact/hooks";
import { AuthForm } from "../../../components/auth-form";
import { Button } from "../../../components/button";
import { TextField } from "../../../components/field";
import { Loading, Notice } from "../../../components/states";
import { type ApiError, asApiError } from "../../../lib/api";
import { invitation } from "../../invitation";
import { acceptInvitation, getInvitation, type Invitation, type SignInResult } from "../../sign-in";
import { SLUG_PATTERN } from "../people/api-types";
import { ProviderButton } from "./provider-button";

interface AcceptInvitationProps {
  /** The secret of the invitation link. */
  secret: string;
  onNext: (opened: SignInResult) => Promise<void>;
  /** Sign in with an existing account, which then joins. */
  onUseAccount: () => void;
}

/** Shows an invitation and creates an account for it. */
export function AcceptInvitation({ secret, onNext, onUseAccount }: AcceptInvitationProps) {
  const [result, setResult] = useState<Invitation | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  useEffect(() => {
    getInvitation(secret).then(setResult, thrown => setError(asApiError(thrown)));
  }, [secret]);
  if (error) {
    const leave = async () => {
      invitation.value = "";
    };
    return (
      <AuthForm
        title="Invitation"
        submitLabel="Go to sign in"
        onSubmit={leave}
        unauthorizedMessage=""
      >
        <Notice tone="bad">
          {error.status === 404
            ? "This invitation is not valid: it was used, revoked or has expired. Ask for a new one."
            : error.message}
        </Notice>
      </AuthForm>
    );
  }
  if (!result) return <Loading />;
  return (
    <CreateAccount secret={secret} found={result} onNext={onNext} onUseAccount={onUseAccount} />
  );
}

function CreateAccount({
  secret,
  found,
  onNext,
  onUseAccount,
}: AcceptInvitationProps & { found: Invitation }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const { email, organization, role, title } = found;
  const submit = async () => {
    const opened = await acceptInvitation(secret, name, password);
    invitation.value = ""; // it works once
    await onNext(opened);
  };
  return (
    <AuthForm
      title={`Join ${title || organization}`}
      submitLabel="Create account"
      onSubmit={submit}
      unauthorizedMessage="This invitation is no longer valid."
      extraActions={
        <>
          <Button onClick={onUseAccount}>Use an existing account</Button>
          <ProviderButton organization={organization} errorCode="" invitation={secret} />
        </>
      }
    >
      <p class="muted">
        {email} is invited to join {organization} as {role}.
      </p>
      <TextField
        label="Name"
        name="username"
        autocomplete="username"
        hint="Your sign-in name. Allowed: a–z, 0–9 and -."
        pattern={SLUG_PATTERN}
        maxLength={64}
        required
        value={name}
        onChange={setName}
      />
      <TextField
        label="Password"
        type="password"
        name="password"
        autocomplete="new-password"
        hint="At least 12 characters."
        required
        value={password}
        onChange={setPassword}
      />
    </AuthForm>
  );
}
