import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { CodeBlock } from "../../../components/code-block";
import { Dialog } from "../../../components/dialog";
import { Await, Notice } from "../../../components/states";
import { showError, showToast } from "../../../components/toasts";
import { post, remove } from "../../../lib/api";
import { type Query, useGet } from "../../../lib/hooks";
import { restoreSession } from "../../../lib/session";
import type { AuthenticatorSetup } from "../../sign-in";
import { ReplaceAuthenticator } from "./replacement";
import { ScanAuthenticator } from "./scan";

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
