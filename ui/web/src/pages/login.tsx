import { useState } from "preact/hooks";
import { providerSignIn, type SignInResult } from "../lib/door";
import { invitation } from "../lib/invitation";
import { query, setQuery } from "../lib/router";
import { restoreSession } from "../lib/session";
import { AuthLayout } from "../parts/door";
import { SecondFactorSetup } from "./login/enrolment";
import { SecondFactor } from "./login/factor";
import { AcceptInvitation } from "./login/invited";
import { PasswordSignIn } from "./login/password";

/** The door: a password or an invitation, and the second step where there is one or has to be. */
export default function SignIn() {
  const signin = query.value.get("signin");
  const secret = invitation.value;
  const [at, setAt] = useState<SignInResult | null>(providerSignIn.value);
  const [hasAccount, setHasAccount] = useState(false);
  const done = async () => {
    providerSignIn.value = null;
    setQuery({ signin: "" });
    await restoreSession();
  };
  const next = async (opened: SignInResult) => (opened.state === "open" ? done() : setAt(opened));
  return (
    <AuthLayout product="Freehold">
      {at?.state === "enrolment" && <SecondFactorSetup challenge={at.challenge} onDone={done} />}
      {at?.state === "second-factor" && <SecondFactor challenge={at.challenge} onNext={next} />}
      {!at && secret && !hasAccount && (
        <AcceptInvitation
          key={secret}
          secret={secret}
          onNext={next}
          onUseAccount={() => setHasAccount(true)}
        />
      )}
      {!at && (!secret || hasAccount) && <PasswordSignIn onNext={next} errorCode={signin ?? ""} />}
    </AuthLayout>
  );
}
