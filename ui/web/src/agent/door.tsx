import { useState } from "preact/hooks";
import { Step } from "../pages/login/step";
import { Field } from "../parts/field";
import { ThemeButton } from "../parts/shell";
import { signIn } from "./session";
import "../pages/login.css";

/** The way in: a token or an API key, which the browser turns into a session and forgets. */
export function Door() {
  const [credential, setCredential] = useState("");
  return (
    <main class="door">
      <div class="brand">
        <img src="/icon.svg" alt="" />
        Freehold agent
      </div>
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
      <div class="line">
        <ThemeButton />
      </div>
    </main>
  );
}
