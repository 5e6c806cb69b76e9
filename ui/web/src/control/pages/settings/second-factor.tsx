import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { CodeBlock } from "../../../components/code-block";
import { CopyButton } from "../../../components/copy-button";
import { Dialog } from "../../../components/dialog";
import { Form } from "../../../components/form";
import { Await, Notice } from "../../../components/states";
import { showError, showToast } from "../../../components/toasts";
import { post, remove } from "../../../lib/api";
import { type Query, useGet } from "../../../lib/hooks";
import { restoreSession } from "../../../lib/session";
import type { AuthenticatorSetup } from "../../sign-in";
import { CodeField } from "../sign-in/second-factor";
import "./second-factor.css";

interface SecondFactorStatus {
  active: boolean;
  demanded: boolean;
  recovery_codes: number;
}

export interface RecoveryCodes {
  recovery_codes: string[];
}

const FEW_CODES = 3; // recovery codes that are left

/** Codes of an authenticator beside the password: set up, renewed, replaced, taken away. */
export function SecondFactor({ onReplaced }: { onReplaced: () => void }) {
  const result = useGet<SecondFactorStatus>("second-factor");
  const [codes, setCodes] = useState<string[] | null>(null);
  const keep = (made: string[]) => {
    setCodes(made);
    result.reload();
  };
  return (
    <Card title="Second factor" aside={result.data && <StatusLabel status={result.data} />}>
      {codes ? (
        <NewRecoveryCodes codes={codes} onDone={() => setCodes(null)} />
      ) : (
        <Await query={result}>
          {now =>
            now.active ? (
              <ActiveSecondFactor now={now} found={result} onCodes={keep} onReplaced={onReplaced} />
            ) : (
              <SetUpSecondFactor onCodes={keep} />
            )
          }
        </Await>
      )}
    </Card>
  );
}

function StatusLabel({ status }: { status: SecondFactorStatus }) {
  return (
    <StatusBadge status={status.active ? "ok" : "late"} label={status.active ? "Set up" : "None"} />
  );
}

function NewRecoveryCodes({ codes, onDone }: { codes: readonly string[]; onDone: () => void }) {
  return (
    <div class="stack">
      <Notice tone="warn">
        Recovery codes: each is good once, if your authenticator is lost. They are not shown again.
      </Notice>
      <CodeBlock label="Recovery codes" text={codes.join("\n")} />
      <div class="line">
        <Button kind="primary" onClick={onDone}>
          I have kept them
        </Button>
      </div>
    </div>
  );
}

function SetUpSecondFactor({ onCodes }: { onCodes: (codes: string[]) => void }) {
  const [begun, setBegun] = useState<AuthenticatorSetup | null>(null);
  const [code, setCode] = useState("");
  if (!begun) {
    const begin = () => post<AuthenticatorSetup>("second-factor").then(setBegun, showError);
    return (
      <div class="stack">
        <p class="muted">With one, a stolen password alone opens nothing.</p>
        <div class="line">
          <Button kind="primary" onClick={begin}>
            Set one up
          </Button>
        </div>
      </div>
    );
  }
  const confirm = async () => {
    const made = await post<RecoveryCodes>("second-factor/confirm", { code: code.trim() });
    showToast("Your second factor is in force");
    onCodes(made.recovery_codes);
    await restoreSession();
  };
  return (
    <ScanAuthenticator
      setup={begun}
      code={code}
      onChange={setCode}
      onSubmit={confirm}
      onCancel={() => setBegun(null)}
    />
  );
}

interface ActiveProps {
  now: SecondFactorStatus;
  found: Query<SecondFactorStatus>;
  onCodes: (codes: string[]) => void;
  onReplaced: () => void;
}

function ActiveSecondFactor({ now, found, onCodes, onReplaced }: ActiveProps) {
  const [dialog, setDialog] = useState(false);
  const [replaces, setReplaces] = useState(false);
  const renew = () =>
    post<RecoveryCodes>("second-factor/recovery-codes").then(
      ({ recovery_codes }) => onCodes(recovery_codes),
      showError,
    );
  const act = async () => {
    await remove("second-factor");
    showToast("Your second factor is taken away");
    found.reload();
    await restoreSession();
  };
  if (replaces) {
    const changed = (codes: string[]) => {
      onCodes(codes);
      onReplaced();
    };
    return <ReplaceAuthenticator onCodes={changed} onCancel={() => setReplaces(false)} />;
  }
  return (
    <div class="stack">
      {now.recovery_codes <= FEW_CODES && (
        <Notice tone="warn">Only {now.recovery_codes} recovery codes are left.</Notice>
      )}
      <p class="muted">
        {now.recovery_codes} recovery codes are left.
        {now.demanded && " An organization that you belong to demands a second factor."}
      </p>
      <div class="line">
        <Button onClick={renew}>New recovery codes</Button>
        <Button onClick={() => setReplaces(true)}>Another authenticator…</Button>
        {!now.demanded && (
          <Button kind="danger" onClick={() => setDialog(true)}>
            Take it away…
          </Button>
        )}
      </div>
      {dialog && (
        <Dialog
          title="Take your second factor away?"
          submitLabel="Take away"
          danger
          onSubmit={act}
          onClose={() => setDialog(false)}
        >
          <p class="muted">Whoever has your password can sign in as you then.</p>
        </Dialog>
      )}
    </div>
  );
}

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
