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
import { pluralize } from "../../../lib/format";
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

const FEW_CODES = 3; // recovery codes

/** Sets up, replaces or removes the authenticator, and renews recovery codes. */
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
        Recovery codes: if you lose your authenticator, each code works once. The codes are not
        shown again.
      </Notice>
      <CodeBlock label="Recovery codes" text={codes.join("\n")} />
      <div class="line">
        <Button kind="primary" onClick={onDone}>
          I have saved them
        </Button>
      </div>
    </div>
  );
}

function SetUpSecondFactor({ onCodes }: { onCodes: (codes: string[]) => void }) {
  const [setup, setSetup] = useState<AuthenticatorSetup | null>(null);
  const [code, setCode] = useState("");
  if (!setup) {
    const begin = () => post<AuthenticatorSetup>("second-factor").then(setSetup, showError);
    return (
      <div class="stack">
        <p class="muted">With a second factor, a stolen password alone is not enough to sign in.</p>
        <div class="line">
          <Button kind="primary" onClick={begin}>
            Set up second factor
          </Button>
        </div>
      </div>
    );
  }
  const confirm = async () => {
    const created = await post<RecoveryCodes>("second-factor/confirm", { code: code.trim() });
    showToast("Second factor set up");
    onCodes(created.recovery_codes);
    await restoreSession();
  };
  return (
    <ScanAuthenticator
      setup={setup}
      code={code}
      onChange={setCode}
      onSubmit={confirm}
      onCancel={() => setSetup(null)}
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
  const submit = async () => {
    await remove("second-factor");
    showToast("Second factor removed");
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
        <Notice tone="warn">
          Only {pluralize(now.recovery_codes, "recovery code")} left. Create new ones.
        </Notice>
      )}
      <p class="muted">
        {pluralize(now.recovery_codes, "recovery code")} left.
        {now.demanded && " One of your organizations requires a second factor."}
      </p>
      <div class="line">
        <Button onClick={renew}>Create new recovery codes</Button>
        <Button onClick={() => setReplaces(true)}>Replace authenticator…</Button>
        {!now.demanded && (
          <Button kind="danger" onClick={() => setDialog(true)}>
            Remove second factor…
          </Button>
        )}
      </div>
      {dialog && (
        <Dialog
          title="Remove second factor?"
          submitLabel="Remove"
          danger
          onSubmit={submit}
          onClose={() => setDialog(false)}
        >
          <p class="muted">Anyone with your password can then sign in as you.</p>
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

/** Shows the secret as a QR code and asks for the first code. */
export function ScanAuthenticator({
  setup,
  code,
  onChange,
  onSubmit,
  onCancel,
}: ScanAuthenticatorProps) {
  return (
    <div class="set-up">
      <img src={setup.picture} alt="QR code for an authenticator app" />
      <Form
        submitLabel="Confirm"
        onSubmit={onSubmit}
        extraActions={<Button onClick={onCancel}>Cancel</Button>}
      >
        <p class="muted whole">Scan this QR code with an authenticator app, or enter the key:</p>
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

/** Replaces the authenticator. The current one stays valid until the new one is confirmed. */
export function ReplaceAuthenticator({ onCodes, onCancel }: ReplaceAuthenticatorProps) {
  const [setup, setSetup] = useState<AuthenticatorSetup | null>(null);
  const [code, setCode] = useState("");
  const show = async () => {
    setSetup(await post<AuthenticatorSetup>("second-factor/replacement", { code: code.trim() }));
    setCode("");
  };
  const confirm = async () => {
    const created = await post<RecoveryCodes>("second-factor/replacement/confirm", {
      code: code.trim(),
    });
    showToast("Authenticator replaced");
    onCodes(created.recovery_codes);
  };
  if (setup) {
    return (
      <ScanAuthenticator
        setup={setup}
        code={code}
        onChange={setCode}
        onSubmit={confirm}
        onCancel={onCancel}
      />
    );
  }
  return (
    <Form
      submitLabel="Continue"
      onSubmit={show}
      extraActions={<Button onClick={onCancel}>Cancel</Button>}
    >
      <p class="muted whole">
        Enter a code of your current authenticator. It stays valid until the new one is confirmed.
      </p>
      <CodeField value={code} onChange={setCode} hint="Or a recovery code" />
    </Form>
  );
}
