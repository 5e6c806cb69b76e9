import { useState } from "preact/hooks";
import { type Opened, signIn } from "../../lib/door";
import { recall, remember } from "../../lib/storage";
import { Field } from "../../parts/field";
import { Federated } from "./federated";
import { Step } from "./step";

const KEY = "freehold-organization"; // the last one used here: a name, no secret

interface PasswordProps {
  next: (opened: Opened) => Promise<void>;
  /** The code of what went wrong at the identity provider. */
  failed: string;
}

/** Who one is, and the password. */
export function Password({ next, failed }: PasswordProps) {
  const [organization, setOrganization] = useState(recall(KEY) ?? "");
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const act = async () => {
    const opened = await signIn({ organization, name, password });
    remember(KEY, organization);
    await next(opened);
  };
  return (
    <Step
      title="Sign in"
      action="Sign in"
      act={act}
      refused="Organization, name or password is wrong."
      also={<Federated organization={organization} failed={failed} />}
    >
      <Field
        label="Organization"
        name="organization"
        autocomplete="organization"
        required
        value={organization}
        change={setOrganization}
      />
      <Field
        label="Name"
        name="username"
        autocomplete="username"
        required
        value={name}
        change={setName}
      />
      <Field
        label="Password"
        type="password"
        name="password"
        autocomplete="current-password"
        required
        value={password}
        change={setPassword}
      />
    </Step>
  );
}
