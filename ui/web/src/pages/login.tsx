import { useEffect, useState } from "preact/hooks";
import { type ApiError, asApiError } from "../lib/api";
import { type Credentials, signIn } from "../lib/session";
import { recall, remember } from "../lib/storage";
import { Button } from "../parts/button";
import { Field } from "../parts/field";
import { Notice } from "../parts/states";
import "./login.css";

const KEY = "freehold-organization"; // the last one used here: a name, no secret

/** The door: a password, and the second step if the account has one. */
export default function Login() {
  const [given, setGiven] = useState<Credentials>({
    organization: recall(KEY) ?? "",
    name: "",
    password: "",
  });
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const set = (name: keyof Credentials) => (value: string) =>
    setGiven(last => ({ ...last, [name]: value }));
  useEffect(() => {
    document.title = "Sign in – Freehold";
  }, []);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await signIn(given);
      remember(KEY, given.organization);
    } catch (thrown) {
      setError(asApiError(thrown));
      setBusy(false);
    }
  };
  return (
    <main class="door">
      <div class="brand">
        <img src="/icon.svg" alt="" />
        Freehold
      </div>
      <form onSubmit={submit}>
        <h1>Sign in</h1>
        {error && <Notice tone="bad">{told(error)}</Notice>}
        <Field
          label="Organization"
          name="organization"
          autocomplete="organization"
          required
          autofocus={!given.organization}
          value={given.organization}
          change={set("organization")}
        />
        <Field
          label="Name"
          name="username"
          autocomplete="username"
          required
          autofocus={!!given.organization}
          value={given.name}
          change={set("name")}
        />
        <Field
          label="Password"
          type="password"
          name="password"
          autocomplete="current-password"
          required
          value={given.password}
          change={set("password")}
        />
        <Button type="submit" kind="primary" busy={busy}>
          Sign in
        </Button>
      </form>
    </main>
  );
}

function told(error: ApiError): string {
  if (error.status === 401) return "Organization, name or password is wrong.";
  return error.requestId ? `${error.message} (request ${error.requestId})` : error.message;
}
