import { useState } from "preact/hooks";
import { Button } from "../../components/button";
import { Card } from "../../components/card";
import { CodeBlock } from "../../components/code-block";
import { Dialog } from "../../components/dialog";
import { TextField } from "../../components/field";
import { Page } from "../../components/page";
import { Await, EmptyState } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { timeColumn } from "../../components/time-column";
import { showError, showToast } from "../../components/toasts";
import { post } from "../../lib/api";
import { pluralize } from "../../lib/format";
import { useGet } from "../../lib/hooks";
import {
  type CredentialOptions,
  createPasskey,
  hasPasskeys,
  signWithPasskey,
} from "../../lib/passkeys";
import "./pages.css";

interface Factor {
  id: string;
  type: "totp" | "webauthn";
  name: string;
  created_at: string;
  used_at: string | null;
}

interface Factors {
  factors: Factor[];
  recovery_codes: number;
}

interface NewApp {
  secret: string;
  url: string;
  qr_code: string;
}

interface Enrolled {
  factor: Factor;
  recovery_codes: string[];
}

interface Options {
  options: CredentialOptions;
}

const TYPES = { totp: "Authenticator app", webauthn: "Passkey" };

type Open = "app" | "passkey" | "verify" | "codes" | Factor | null;

/** One's own second factors. */
export default function SecondFactors() {
  const result = useGet<Factors>("mfa/factors");
  const [open, setOpen] = useState<Open>(null);
  const [app, setApp] = useState<NewApp | null>(null);
  const [codes, setCodes] = useState<string[]>([]);
  const close = () => setOpen(null);
  const done = (made?: string[]) => {
    if (made?.length) setCodes(made);
    result.reload();
  };
  return (
    <Page
      title="Second factors"
      actions={
        <>
          <Button icon="check" onClick={() => setOpen("verify")}>
            Confirm your identity…
          </Button>
          {hasPasskeys() && (
            <Button icon="key" onClick={() => setOpen("passkey")}>
              Register passkey…
            </Button>
          )}
          <Button kind="primary" icon="lock" onClick={() => setOpen("app")}>
            Add authenticator app…
          </Button>
        </>
      }
    >
      <Await query={result}>
        {found => (
          <Card
            title="Your second factors"
            flush
            aside={
              <>
                <span>{pluralize(found.recovery_codes, "recovery code")} left</span>{" "}
                <Button kind="quiet" onClick={() => setOpen("codes")}>
                  Replace…
                </Button>
              </>
            }
          >
            <Table
              label="Second factors"
              columns={columns(setOpen)}
              rows={found.factors}
              keyOf={({ id }) => id}
              empty={<EmptyState icon="lock" title="No second factors yet" />}
            />
          </Card>
        )}
      </Await>
      {open === "app" && <AddApp onClose={close} onMade={setApp} />}
      {app && <ConfirmApp made={app} onClose={() => setApp(null)} onDone={done} />}
      {open === "passkey" && <RegisterPasskey onClose={close} onDone={done} />}
      {open === "verify" && <Verify onClose={close} onDone={done} />}
      {open === "codes" && <ReplaceCodes onClose={close} onDone={done} />}
      {open && typeof open === "object" && (
        <RemoveFactor factor={open} onClose={close} onDone={done} />
      )}
      {codes.length > 0 && <RecoveryCodes codes={codes} onClose={() => setCodes([])} />}
    </Page>
  );
}

function columns(remove: (factor: Factor) => void): Column<Factor>[] {
  return [
    { name: "type", title: "Type", width: "12rem", cell: row => TYPES[row.type] },
    { name: "name", title: "Name", cell: row => row.name || "–", sortBy: row => row.name },
    timeColumn("created", "Added", row => row.created_at, { wideOnly: true }),
    timeColumn("used", "Last used", row => row.used_at, { wideOnly: true }),
    {
      name: "end",
      title: "Action",
      width: "7rem",
      numeric: true,
      cell: row => (
        <Button
          kind="quiet"
          aria-label={`Remove ${row.name || TYPES[row.type]}`}
          onClick={() => remove(row)}
        >
          Remove…
        </Button>
      ),
    },
  ];
}

interface StepProps {
  onClose: () => void;
  onDone: (codes?: string[]) => void;
}

function AddApp({ onClose, onMade }: { onClose: () => void; onMade: (made: NewApp) => void }) {
  const [name, setName] = useState("");
  return (
    <Dialog
      title="Add authenticator app"
      submitLabel="Continue"
      onSubmit={async () => onMade(await post<NewApp>("mfa/totp", { name }))}
      onClose={onClose}
    >
      <TextField
        label="Name"
        autocomplete="off"
        maxLength={128}
        hint="What you call it, such as phone."
        value={name}
        onChange={setName}
      />
    </Dialog>
  );
}

function ConfirmApp({ made, onClose, onDone }: StepProps & { made: NewApp }) {
  const [code, setCode] = useState("");
  const confirm = async () => {
    const body = { passcode: code.trim() };
    const done = await post<Enrolled>("mfa/totp/confirm", body);
    showToast("The authenticator app counts from now on.");
    onDone(done.recovery_codes);
  };
  return (
    <Dialog
      title="Confirm authenticator app"
      submitLabel="Confirm"
      onSubmit={confirm}
      onClose={onClose}
    >
      <p>Scan this with the app, or type the secret into it. It is shown once.</p>
      {made.qr_code && <img alt="QR code" src={`data:image/png;base64,${made.qr_code}`} />}
      <CodeBlock label="Secret" text={made.secret} />
      <CodeField label="First code of the app" value={code} onChange={setCode} />
    </Dialog>
  );
}

function RegisterPasskey({ onClose, onDone }: StepProps) {
  const [name, setName] = useState("");
  const register = async () => {
    const { options } = await post<Options>("mfa/passkeys/options");
    const body = { name, credential: await createPasskey(options) };
    const done = await post<Enrolled>("mfa/passkeys", body);
    showToast("The passkey counts from now on.");
    onDone(done.recovery_codes);
  };
  return (
    <Dialog title="Register passkey" submitLabel="Register" onSubmit={register} onClose={onClose}>
      <TextField
        label="Name"
        autocomplete="off"
        maxLength={128}
        hint="What you call it, such as blue key."
        value={name}
        onChange={setName}
      />
    </Dialog>
  );
}

function Verify({ onClose, onDone }: StepProps) {
  const [code, setCode] = useState("");
  const show = async (shown: object) => {
    await post("mfa/verify", shown);
    showToast("Your second factor was confirmed.");
    onDone();
  };
  const byPasskey = async () => {
    try {
      const { options } = await post<Options>("mfa/verify/passkey");
      await show({ assertion: await signWithPasskey(options) });
      onClose();
    } catch (error) {
      showError(error);
    }
  };
  return (
    <Dialog
      title="Confirm your identity"
      submitLabel="Confirm"
      onSubmit={() => show({ passcode: code.trim() })}
      onClose={onClose}
    >
      <CodeField label="Code" value={code} onChange={setCode} />
      {hasPasskeys() && (
        <Button type="button" icon="key" onClick={byPasskey}>
          Use a passkey
        </Button>
      )}
    </Dialog>
  );
}

function ReplaceCodes({ onClose, onDone }: StepProps) {
  const [code, setCode] = useState("");
  const replace = async () => {
    const body = { passcode: code.trim() };
    const made = await post<{ recovery_codes: string[] }>("mfa/recovery-codes", body);
    onDone(made.recovery_codes);
  };
  return (
    <Dialog
      title="Replace recovery codes"
      submitLabel="Replace"
      onSubmit={replace}
      onClose={onClose}
    >
      <p>The codes that are left count no more.</p>
      <CodeField label="Code" value={code} onChange={setCode} />
    </Dialog>
  );
}

function RemoveFactor({ factor, onClose, onDone }: StepProps & { factor: Factor }) {
  const [code, setCode] = useState("");
  const isPasskey = factor.type === "webauthn";
  const remove = async () => {
    await post("mfa/factors/remove", { factor: factor.id, passcode: code.trim() });
    showToast("The second factor is removed.");
    onDone();
  };
  return (
    <Dialog
      title={`Remove ${factor.name || TYPES[factor.type]}`}
      submitLabel="Remove"
      danger
      onSubmit={remove}
      onClose={onClose}
    >
      {isPasskey && <p>Confirm your identity first, or type a recovery code.</p>}
      <CodeField label="Code" value={code} onChange={setCode} required={!isPasskey} />
    </Dialog>
  );
}

function RecoveryCodes({ codes, onClose }: { codes: string[]; onClose: () => void }) {
  return (
    <Dialog
      title="Recovery codes"
      submitLabel="I have kept them"
      onSubmit={async () => {}}
      onClose={onClose}
    >
      <p>Each stands in for a second factor, once. They are shown this once.</p>
      <CodeBlock label="Recovery codes" text={codes.join("\n")} />
    </Dialog>
  );
}

interface CodeFieldProps {
  label: string;
  value: string;
  onChange: (code: string) => void;
  required?: boolean;
}

function CodeField({ label, value, onChange, required = true }: CodeFieldProps) {
  return (
    <TextField
      label={label}
      autocomplete="one-time-code"
      required={required}
      maxLength={64}
      hint="Of your authenticator app, or a recovery code."
      value={value}
      onChange={onChange}
    />
  );
}
