import { useState } from "preact/hooks";
import { post, remove } from "../../lib/api";
import type { Enrolment } from "../../lib/door";
import { type Loaded, useGet } from "../../lib/hooks";
import { resume } from "../../lib/session";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Code } from "../../parts/code";
import { Dialog } from "../../parts/dialog";
import { Await, Notice } from "../../parts/states";
import { toast, toastError } from "../../parts/toasts";
import { Replace } from "./replacement";
import { Scan } from "./scan";

interface Standing {
  active: boolean;
  demanded: boolean;
  recovery_codes: number;
}

export interface Codes {
  recovery_codes: string[];
}

const FEW = 3; // recovery codes that are left

/** Codes of an authenticator beside the password: set up, renewed, replaced, taken away. */
export function SecondFactor({ replaced }: { replaced: () => void }) {
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
            now.active ? (
              <Active now={now} found={found} keep={keep} replaced={replaced} />
            ) : (
              <SetUp keep={keep} />
            )
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
    <Scan begun={begun} code={code} change={setCode} act={confirm} cancel={() => setBegun(null)} />
  );
}

interface ActiveProps {
  now: Standing;
  found: Loaded<Standing>;
  keep: (codes: string[]) => void;
  replaced: () => void;
}

function Active({ now, found, keep, replaced }: ActiveProps) {
  const [asks, setAsks] = useState(false);
  const [replaces, setReplaces] = useState(false);
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
  if (replaces) {
    const changed = (codes: string[]) => {
      keep(codes);
      replaced();
    };
    return <Replace keep={changed} cancel={() => setReplaces(false)} />;
  }
  return (
    <div class="stack">
      {now.recovery_codes <= FEW && (
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
