import { useState } from "preact/hooks";
import { AuthForm } from "../components/auth-form";
import { AuthLayout as Frame } from "../components/auth-layout";
import { Button } from "../components/button";
import { TextField } from "../components/field";
import { PasswordSignIn } from "./password-sign-in";
import { signIn } from "./session";

/** Signs in with a credential, or with name and password; either is used for a session alone. */
export function SignIn() {
  const [credential, setCredential] = useState("");
  const [byPassword, setByPassword] = useState(false);
  if (byPassword) {
    return (
      <Frame product="Freehold agent">
        <PasswordSignIn onOther={() => setByPassword(false)} />
      </Frame>
    );
  }
  return (
    <Frame product="Freehold agent">
      <AuthForm
        title="Sign in"
        submitLabel="Sign in"
        onSubmit={() => signIn(credential.trim())}
        unauthorizedMessage="Invalid token or API key."
        extraActions={
          <Button type="button" kind="quiet" onClick={() => setByPassword(true)}>
            Use name and password
          </Button>
        }
      >
        <TextField
          label="Token or API key"
          type="password"
          name="credential"
          autocomplete="off"
          required
          maxLength={4096}
          hint="Used once to sign in; never stored. The session ends when the token or key does."
          value={credential}
          onChange={setCredential}
        />
      </AuthForm>
    </Frame>
  );
}
