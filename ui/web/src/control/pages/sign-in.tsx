import { useState } from "preact/hooks";
import { AuthLayout } from "../../components/auth-layout";
import { query, setQuery } from "../../lib/router";
import { invitation } from "../invitation";
import { finishSignIn, providerSignIn, type SignInResult } from "../sign-in";
import { AcceptInvitation } from "./sign-in/invitation";
import { PasswordSignIn } from "./sign-in/password";
import { SecondFactor } from "./sign-in/second-factor";
import { SecondFactorSetup } from "./sign-in/second-factor-setup";

/** Signs in with a password, an identity provider or an invitation, then with a second factor. */
export default function SignIn() {
  const signin = query.value.get("signin");
  const secret = invitation.value;
  const [at, setAt] = useState<SignInResult | null>(providerSignIn.value);
  const [hasAccount, setHasAccount] = useState(false);
  const done = async () => {
    providerSignIn.value = null;
    setQuery({ signin: "" });
    await finishSignIn();
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
