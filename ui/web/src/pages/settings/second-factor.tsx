import { useState } from "preact/hooks";
import { post, remove } from "../../lib/api";
import type { Enrolment } from "../../lib/door";
import { type Loaded, useGet } from "../../lib/hooks";
import { resume } from "../../lib/session";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Code } from "../../parts/code";
import { Copy } from "../../parts/copy";
import { Dialog } from "../../parts/dialog";
import { Form } from "../../parts/form";
import { Await, Notice } from "../../parts/states";
import { toast, toastError } from "../../parts/toasts";
import { CodeField } from "../login/factor";
import "./second-factor.css";

interface Standing {
  active: boolean;
  demanded: boolean;
  recovery_codes: number;
}

interface Codes {
  recovery_codes: string[];
}

const FEW = 3; // recovery codes that are left

/** Codes of an authenticator beside the password: set up, renewed, taken away. */
export function SecondFactor() {
  const found = useGet<Standing>("second-factor");
  const [codes, setCodes] = useState<string[] | null>(null);
  const keep = (made: string[]) => {
    setCodes(made);
    found.reload();
  };
  return (
    <Card title="Second factor" aside={found.data && <Now of={found.data} />}>
      {codes ? (
        <Kept codes={codes} done={() => setCodes(null)} />
      ) : (
        <Await of={found}>
          {now =>
            now.active ? <Active now={now} found={found} keep={keep} /> : <SetUp keep={keep} />
          }
        </Await>
      )}
    </Card>
  );
}

function Now({ of }: { of: Standing }) {
  return <State of={of.active ? "ok" : "late"} label={of.active ? "Set up" : "None"} />;
}

function Kept({ codes, done }: { codes: readonly string[]; done: () => void }) {
  return (
    <div class="stack">
      <Notice tone="warn">
        Recovery codes: each is good once, if your authenticator is lost. They are not shown again.
      </Notice>
      <Code label="Recovery codes" text={codes.join("\n")} />
      <div class="line">
        <Button kind="primary" onClick={done}>
          I have kept them
        </Button>
      </div>
    </div>
  );
}

function SetUp({ keep }: { keep: (codes: string[]) => void }) {
  const [begun, setBegun] = useState<Enrolment | null>(null);
  const [code, setCode] = useState("");
  if (!begun) {
    const begin = () => post<Enrolment>("second-factor").then(setBegun, toastError);
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
    const made = await post<Codes>("second-factor/confirm", { code: code.trim() });
    toast("Your second factor is in force");
    keep(made.recovery_codes);
    await resume();
  };
  return (
    <div class="set-up">
      <img src={begun.picture} alt="A code for the camera of an authenticator" />
      <Form
        action="Confirm"
        act={confirm}
        also={<Button onClick={() => setBegun(null)}>Cancel</Button>}
      >
        <p class="muted whole">Scan this with an authenticator, or type the key:</p>
        <p class="line whole">
          <code>{begun.secret}</code>
          <Copy text={begun.secret} label="Copy the key" />
        </p>
        <CodeField value={code} change={setCode} />
      </Form>
    </div>
  );
}

interface ActiveProps {
  now: Standing;
  found: Loaded<Standing>;
  keep: (codes: string[]) => void;
}

function Active({ now, found, keep }: ActiveProps) {
  const [asks, setAsks] = useState(false);
  const renew = () =>
    post<Codes>("second-factor/recovery-codes").then(
      ({ recovery_codes }) => keep(recovery_codes),
      toastError,
    );
  const act = async () => {
    await remove("second-factor");
    toast("Your second factor is taken away");
    found.reload();
    await resume();
  };
  return (
    <div class="stack">
      {now.recovery_codes <= FEW && (
        <Notice tone="warn">Only {now.recovery_codes} recovery codes are left.</Notice>
      )}
      <p class="muted">
        {now.recovery_codes} recovery codes are left.
        {now.demanded && " Your organization demands a second factor."}
      </p>
      <div class="line">
        <Button onClick={renew}>New recovery codes</Button>
        {!now.demanded && (
          <Button kind="danger" onClick={() => setAsks(true)}>
            Take it away…
          </Button>
        )}
      </div>
      {asks && (
        <Dialog
          title="Take your second factor away?"
          action="Take away"
          danger
          act={act}
          close={() => setAsks(false)}
        >
          <p class="muted">Whoever has your password can sign in as you then.</p>
        </Dialog>
      )}
    </div>
  );
}
