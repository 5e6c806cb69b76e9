import { useState } from "preact/hooks";
import { AuthForm } from "../components/auth-form";
import { AuthLayout as Frame } from "../components/auth-layout";
import { TextField } from "../components/field";
import { signIn } from "./session";

/** Signs in with a token or an API key, which is exchanged for a session and not stored. */
export function SignIn() {
  const [credential, setCredential] = useState("");
  return (
    <Frame product="Freehold agent">
      <AuthForm
        title="Sign in"
        submitLabel="Sign in"
        onSubmit={() => signIn(credential.trim())}
        unauthorizedMessage="Invalid token or API key."
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
