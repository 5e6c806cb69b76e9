import { useState } from "preact/hooks";
import { AuthForm } from "../components/auth-form";
import { Button } from "../components/button";
import { TextField } from "../components/field";
import { post } from "../lib/api";
import { isWaiting, SecondFactor, type WaitingLogin } from "./second-factor";
import { signIn } from "./session";

/** Signs in at an auth mount that takes a password, with a second factor where one is needed. */
export function PasswordSignIn({ onOther }: { onOther: () => void }) {
  const [mount, setMount] = useState("userpass");
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [waiting, setWaiting] = useState<WaitingLogin | null>(null);
  const submit = async () => {
    const place = [...mount.split("/").filter(Boolean), "login", name.trim()];
    const answer = await post<{ token: string } | WaitingLogin>(
      `auth/login/${place.map(encodeURIComponent).join("/")}`,
      { password },
    );
    if (isWaiting(answer)) setWaiting(answer);
    else await signIn(answer.token);
  };
  if (waiting) {
    return <SecondFactor waiting={waiting} onToken={signIn} onCancel={() => setWaiting(null)} />;
  }
  return (
    <AuthForm
      title="Sign in"
      submitLabel="Sign in"
      onSubmit={submit}
      unauthorizedMessage="Invalid name or password."
      extraActions={
        <Button type="button" kind="quiet" onClick={onOther}>
          Use a token or API key
        </Button>
      }
    >
      <TextField
        label="Auth mount"
        required
        autocomplete="off"
        hint="Where your login method is, such as userpass or ldap."
        value={mount}
        onChange={setMount}
      />
      <TextField label="Name" required autocomplete="username" value={name} onChange={setName} />
      <TextField
        label="Password"
        type="password"
        required
        autocomplete="current-password"
        maxLength={1024}
        value={password}
        onChange={setPassword}
      />
    </AuthForm>
  );
}
