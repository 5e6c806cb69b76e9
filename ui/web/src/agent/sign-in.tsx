import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { AuthForm } from "../components/auth-form";
import { AuthLayout as Frame } from "../components/auth-layout";
import { SelectField, TextField } from "../components/field";
import { Loading, Notice } from "../components/states";
import {
  completeLogin,
  type LoginMount,
  listLoginMounts,
  logInByPassword,
  providerLogin,
  startProviderLogin,
  takesPassword,
  waitingLogin,
} from "./login";
import { SecondFactor } from "./second-factor";
import { signIn } from "./session";

const TOKEN = "token"; // no path of a mount: these end with a slash

/** Signs in at an auth mount that may be seen before, or with a token or an API key. */
export function SignIn() {
  const [mounts, setMounts] = useState<LoginMount[] | null>(null);
  const [chosen, setChosen] = useState("");
  useEffect(() => {
    void listLoginMounts().then(setMounts);
  }, []);
  const login = providerLogin.value;
  const waiting = waitingLogin.value;
  if (waiting)
    return (
      <Frame product="Freehold agent">
        <SecondFactor
          waiting={waiting}
          onToken={token => completeLogin({ token })}
          onCancel={() => (waitingLogin.value = null)}
        />
      </Frame>
    );
  if (mounts === null || login.state === "busy")
    return (
      <Frame product="Freehold agent">
        <Loading label="Loading" />
      </Frame>
    );
  const mount = mounts.find(({ path }) => path === (chosen || mounts[0]?.path));
  const select = mounts.length > 0 && (
    <SelectField
      label="Method"
      value={mount?.path ?? TOKEN}
      onChange={setChosen}
      options={[...mounts.map(mountOption), [TOKEN, "Token or API key"]]}
    />
  );
  return (
    <Frame product="Freehold agent">
      {login.state === "failed" && <Notice tone="bad">{login.error.message}</Notice>}
      {!mount ? (
        <TokenForm>{select}</TokenForm>
      ) : takesPassword(mount) ? (
        <PasswordForm key={mount.path} mount={mount}>
          {select}
        </PasswordForm>
      ) : (
        <ProviderForm key={mount.path} mount={mount}>
          {select}
        </ProviderForm>
      )}
    </Frame>
  );
}

function mountOption({ path, description }: LoginMount): [string, string] {
  return [path, description || path.slice(0, -1)];
}

/** A token or an API key opens a session and is not stored. */
function TokenForm({ children }: { children: ComponentChildren }) {
  const [credential, setCredential] = useState("");
  return (
    <AuthForm
      title="Sign in"
      submitLabel="Sign in"
      onSubmit={() => signIn(credential.trim())}
      unauthorizedMessage="Invalid token or API key."
    >
      {children}
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
  );
}

interface MountFormProps {
  mount: LoginMount;
  children: ComponentChildren;
}

function PasswordForm({ mount, children }: MountFormProps) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  return (
    <AuthForm
      title="Sign in"
      submitLabel="Sign in"
      onSubmit={() => logInByPassword(mount, name.trim(), password)}
      unauthorizedMessage="Invalid name or password."
    >
      {children}
      <TextField
        label="Name"
        name="username"
        autocomplete="username"
        required
        maxLength={512}
        value={name}
        onChange={setName}
      />
      <TextField
        label="Password"
        type="password"
        name="password"
        autocomplete="current-password"
        required
        maxLength={1024}
        value={password}
        onChange={setPassword}
      />
    </AuthForm>
  );
}

/** Goes to an identity provider, which sends the browser back. */
function ProviderForm({ mount, children }: MountFormProps) {
  const [role, setRole] = useState("");
  return (
    <AuthForm
      title="Sign in"
      submitLabel="Continue at the identity provider"
      onSubmit={() => startProviderLogin(mount, role.trim())}
      unauthorizedMessage="The identity provider's login was refused."
    >
      {children}
      <TextField
        label="Role"
        name="role"
        autocomplete="off"
        maxLength={512}
        hint="Leave empty for the default role."
        value={role}
        onChange={setRole}
      />
    </AuthForm>
  );
}
