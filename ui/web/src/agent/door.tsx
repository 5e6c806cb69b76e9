import { useState } from "preact/hooks";
import { Step } from "../pages/login/step";
import { Door as Frame } from "../parts/door";
import { Field } from "../parts/field";
import { signIn } from "./session";

/** The way in: a token or an API key, which the browser turns into a session and forgets. */
export function Door() {
  const [credential, setCredential] = useState("");
  return (
    <Frame of="Freehold agent">
      <Step
        title="Sign in"
        action="Sign in"
        act={() => signIn(credential.trim())}
        refused="This token or key does not count."
      >
        <Field
          label="Token or API key"
          type="password"
          name="credential"
          autocomplete="off"
          required
          maxLength={4096}
          hint="It opens a session and is not kept. The session ends with it."
          value={credential}
          change={setCredential}
        />
      </Step>
    </Frame>
  );
}
