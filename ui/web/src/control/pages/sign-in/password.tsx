import { useState } from "preact/hooks";
import { AuthForm } from "../../../components/auth-form";
import { TextField } from "../../../components/field";
import { getStored, setStored } from "../../../lib/storage";
import { type SignInResult, signIn } from "../../sign-in";
import { ProviderButton } from "./provider-button";

const KEY = "freehold-organization"; // prefills the organization; not secret

interface PasswordSignInProps {
  onNext: (opened: SignInResult) => Promise<void>;
  /** Error code of a failed sign-in with the identity provider. */
  errorCode: string;
}

export function PasswordSignIn({ onNext, errorCode }: PasswordSignInProps) {
  const [organization, setOrganization] = useState(getStored(KEY) ?? "");
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const submit = async () => {
    const opened = await signIn({ organization, name, password });
    setStored(KEY, organization);
    await onNext(opened);
  };
  return (
    <AuthForm
      title="Sign in"
      submitLabel="Sign in"
      onSubmit={submit}
      unauthorizedMessage="Wrong organization, name or password."
      extraActions={<ProviderButton organization={organization} errorCode={errorCode} />}
    >
      <TextField
        label="Organization"
        name="organization"
        autocomplete="organization"
        required
        value={organization}
        onChange={setOrganization}
      />
      <TextField
        label="Name"
        name="username"
        autocomplete="username"
        required
        value={name}
        onChange={setName}
      />
      <TextField
        label="Password"
        type="password"
        name="password"
        autocomplete="current-password"
        required
        value={password}
        onChange={setPassword}
      />
    </AuthForm>
  );
}
