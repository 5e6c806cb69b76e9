import { useEffect, useState } from "preact/hooks";
import { type ApiError, asApiError } from "../../lib/api";
import { accept, type Invitation, lookAt, type Opened } from "../../lib/door";
import { invitation } from "../../lib/invitation";
import { Button } from "../../parts/button";
import { Field } from "../../parts/field";
import { Loading, Notice } from "../../parts/states";
import { SLUG } from "../people/wire";
import { Federated } from "./federated";
import { Step } from "./step";

interface InvitedProps {
  /** What the link ends with. */
  secret: string;
  next: (opened: Opened) => Promise<void>;
  /** Sign in with the account that one has; then the link makes it a member. */
  instead: () => void;
}

/** Somebody comes by a link: what it is for, and a new account by it. */
export function Invited({ secret, next, instead }: InvitedProps) {
  const [found, setFound] = useState<Invitation | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  useEffect(() => {
    lookAt(secret).then(setFound, thrown => setError(asApiError(thrown)));
  }, [secret]);
  if (error) {
    const leave = async () => {
      invitation.value = "";
    };
    return (
      <Step title="Invitation" action="Go to sign in" act={leave} refused="">
        <Notice tone="bad">
          {error.status === 404
            ? "This link does not count: it was used, taken back or is older than a week. Ask for another one."
            : error.message}
        </Notice>
      </Step>
    );
  }
  if (!found) return <Loading />;
  return <Accept secret={secret} found={found} next={next} instead={instead} />;
}

function Accept({ secret, found, next, instead }: InvitedProps & { found: Invitation }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const { email, organization, role, title } = found;
  const act = async () => {
    const opened = await accept(secret, name, password);
    invitation.value = ""; // it was good once
    await next(opened);
  };
  return (
    <Step
      title={`Join ${title || organization}`}
      action="Make my account"
      act={act}
      refused="This invitation does not count any more."
      also={
        <>
          <Button onClick={instead}>I have an account already</Button>
          <Federated organization={organization} failed="" invitation={secret} />
        </>
      }
    >
      <p class="muted">
        {email} is invited to {organization} as {role}.
      </p>
      <Field
        label="Name"
        name="username"
        autocomplete="username"
        hint="What you sign in with: a–z, 0–9 and -."
        pattern={SLUG}
        maxLength={64}
        required
        value={name}
        change={setName}
      />
      <Field
        label="Password"
        type="password"
        name="password"
        autocomplete="new-password"
        hint="At least 12 characters."
        required
        value={password}
        change={setPassword}
      />
    </Step>
  );
}
