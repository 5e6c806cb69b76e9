import { useState } from "preact/hooks";
import { Button } from "../../../components/button";
import { Form } from "../../../components/form";
import { showToast } from "../../../components/toasts";
import { post } from "../../../lib/api";
import type { AuthenticatorSetup } from "../../sign-in";
import { CodeField } from "../sign-in/second-factor";
import { ScanAuthenticator } from "./scan";
import type { RecoveryCodes } from "./second-factor";

interface ReplaceAuthenticatorProps {
  onCodes: (codes: string[]) => void;
  onCancel: () => void;
}

/** Another authenticator in place of the one in force, which stays so until the new one's code. */
export function ReplaceAuthenticator({ onCodes, onCancel }: ReplaceAuthenticatorProps) {
  const [begun, setBegun] = useState<AuthenticatorSetup | null>(null);
  const [code, setCode] = useState("");
  const show = async () => {
    setBegun(await post<AuthenticatorSetup>("second-factor/replacement", { code: code.trim() }));
    setCode("");
  };
  const confirm = async () => {
    const made = await post<RecoveryCodes>("second-factor/replacement/confirm", {
      code: code.trim(),
    });
    showToast("Your other authenticator is in force, the one before is not");
    onCodes(made.recovery_codes);
  };
  if (begun) {
    return (
      <ScanAuthenticator
        setup={begun}
        code={code}
        onChange={setCode}
        onSubmit={confirm}
        onCancel={onCancel}
      />
    );
  }
  return (
    <Form
      submitLabel="Go on"
      onSubmit={show}
      extraActions={<Button onClick={onCancel}>Cancel</Button>}
    >
      <p class="muted whole">Show the one that you have first. It stays in force until the end.</p>
      <CodeField value={code} onChange={setCode} hint="Or one of your recovery codes" />
    </Form>
  );
}
