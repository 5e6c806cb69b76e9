import { useState } from "preact/hooks";
import { get } from "../../lib/api";
import { count } from "../../lib/format";
import { useAct, useGet } from "../../lib/hooks";
import { save } from "../../lib/save";
import { ofOrganization, organization } from "../../lib/session";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card, Facts } from "../../parts/card";
import { Await, Notice } from "../../parts/states";
import { Moment } from "../../parts/time";
import type { AuditEvent, Head, Verdict } from "./wire";

const PATIENCE = 300_000; // milliseconds: the whole chain is read
const PAGE = 1000; // records that one request brings
const MOST = 50_000; // records that a browser is to hold

/** The chain checked from its beginning, its signed end to keep elsewhere, and all of it to take. */
export function Verify() {
  return (
    <div class="columns">
      <Chain />
      <Signed />
      <Take />
    </div>
  );
}

function Chain() {
  const [verdict, setVerdict] = useState<Verdict | null>(null);
  const { run, busy, error } = useAct(async () => {
    setVerdict(await get<Verdict>(ofOrganization("audit/verify"), { timeout: PATIENCE }));
  });
  return (
    <Card
      title="The whole chain"
      aside={
        <Button kind="primary" busy={busy} onClick={run}>
          Verify now
        </Button>
      }
    >
      <div class="stack">
        <span class="line" role="status">
          {verdict ? (
            <State of={verdict.broken_at ? "damaged" : "whole"} filled />
          ) : (
            <State of="never" label="Not checked here yet" />
          )}
        </span>
        {error && <Notice tone="bad">{error.message}</Notice>}
        {verdict && <Told of={verdict} />}
        <p class="muted">
          The control plane goes through every hash. Who does not want to take its word keeps signed
          heads, and compares on the machine: <code>freehold control trail verify</code>.
        </p>
      </div>
    </Card>
  );
}

function Told({ of: { base, broken_at, head, size } }: { of: Verdict }) {
  return (
    <>
      {broken_at > 0 && (
        <Notice tone="bad">
          Record {count(broken_at)} does not fit the one before it: it or an earlier one was
          changed.
        </Notice>
      )}
      <Facts
        rows={[
          ["Records", count(size)],
          ["Deleted by rule", base ? `the first ${count(base)}` : "none"],
          ["Head", <code key="head">{head}</code>],
        ]}
      />
    </>
  );
}

/** To keep it is the server's own text: JavaScript has no numbers as exact as `at`. */
function Signed() {
  const found = useGet<Head>(ofOrganization("audit/head"));
  return (
    <Card title="Signed head" aside={<Button onClick={found.reload}>Sign anew</Button>}>
      <Await of={found}>
        {head => (
          <div class="stack">
            <Facts
              rows={[
                ["Records", count(head.size)],
                ["When", <Moment key="at" at={head.at / 1e9} />],
                ["Hash", <code key="hash">{head.hash}</code>],
                ["Signature", <code key="signature">{head.signature}</code>],
                ["Key", <code key="key">{head.key}</code>],
              ]}
            />
            <p class="muted">
              Keep one elsewhere: what was recorded up to it cannot change unseen.{" "}
              <a href={`/api/v1/${ofOrganization("audit/head")}`} download="trail-head.json">
                Download the newest
              </a>
            </p>
          </div>
        )}
      </Await>
    </Card>
  );
}

function Take() {
  const [told, setTold] = useState("");
  const { run, busy, error } = useAct(async () => {
    try {
      const [lines, isAll] = await everything(so_far => setTold(`${count(so_far)} records…`));
      save(`trail-${organization.peek()}.jsonl`, "application/jsonl", `${lines.join("\n")}\n`);
      const rest = "; for the rest: freehold control trail export";
      setTold(`${count(lines.length)} records${isAll ? "" : rest}`);
    } catch (thrown) {
      setTold("");
      throw thrown;
    }
  });
  return (
    <Card
      title="Export"
      aside={
        <Button busy={busy} onClick={run}>
          Take it away
        </Button>
      }
    >
      <div class="stack">
        <p class="muted">
          A JSON line a record, the oldest first, with the hashes that prove them: at most{" "}
          {count(MOST)} here.
        </p>
        <p role="status">{told}</p>
        {error && <Notice tone="bad">{error.message}</Notice>}
      </div>
    </Card>
  );
}

/** The oldest records up to `MOST` as lines, and whether these are all. */
async function everything(tell: (so_far: number) => void): Promise<[string[], boolean]> {
  const lines: string[] = [];
  for (let after = 0; lines.length < MOST; ) {
    const page = await get<AuditEvent[]>(ofOrganization("audit/export"), {
      query: { after, limit: PAGE },
    });
    lines.push(...page.map(record => JSON.stringify(record)));
    tell(lines.length);
    after = page.at(-1)?.seq ?? 0;
    if (page.length < PAGE) return [lines, true];
  }
  return [lines, false];
}
