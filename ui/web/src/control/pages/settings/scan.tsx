import { Button } from "../../../components/button";
import { CopyButton } from "../../../components/copy-button";
import { Form } from "../../../components/form";
import type { AuthenticatorSetup } from "../../sign-in";
import { CodeField } from "../sign-in/second-factor";
import "./scan.css";

interface ScanAuthenticatorProps {
  setup: AuthenticatorSetup;
  code: string;
  onChange: (code: string) => void;
  onSubmit: () => Promise<unknown>;
  onCancel: () => void;
}

/** The secret for an authenticator, and its first code. */
export function ScanAuthenticator({
  setup,
  code,
  onChange,
  onSubmit,
  onCancel,
}: ScanAuthenticatorProps) {
  return (
    <div class="set-up">
      <img src={setup.picture} alt="A code for the camera of an authenticator" />
      <Form
        submitLabel="Confirm"
        onSubmit={onSubmit}
        extraActions={<Button onClick={onCancel}>Cancel</Button>}
      >
        <p class="muted whole">Scan this with an authenticator, or type the key:</p>
        <p class="line whole">
          <code>{setup.secret}</code>
          <CopyButton text={setup.secret} label="Copy the key" />
        </p>
        <CodeField value={code} onChange={onChange} />
      </Form>
    </div>
  );
}
