import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "../../lib/api";
import { count, plural } from "../../lib/format";
import { useAct, useGet } from "../../lib/hooks";
import { CONTROL_LIMITS } from "../../lib/limits";
import { download, save } from "../../lib/save";
import { ofOrganization, organization } from "../../lib/session";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card, Facts } from "../../parts/card";
import { Await, Notice } from "../../parts/states";
import { Moment } from "../../parts/time";
import { toastError } from "../../parts/toasts";
import type { AuditEvent, Head, Verdict } from "./wire";

const PATIENCE = 300_000; // milliseconds: the whole chain is read
const PAGE = CONTROL_LIMITS["audit/export"];

/** The chain checked from its beginning, its signed end to keep elsewhere, and all of it to take. */
export function Verify() {
  return (
    <div class="columns">
      <Chain />
      <Signed />
      <Export />
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
              <Button
                kind="quiet"
                onClick={() =>
                  download(ofOrganization("audit/head"), {}, "trail-head.json").catch(toastError)
                }
              >
                Download the newest
              </Button>
            </p>
          </div>
        )}
      </Await>
    </Card>
  );
}

function Export() {
  const [told, setTold] = useState("");
  const stop = useRef<AbortController>(undefined);
  useEffect(() => () => stop.current?.abort(), []);
  const { run, busy, error } = useAct(async () => {
    const ending = new AbortController();
    stop.current = ending;
    setTold("");
    const org = organization.peek();
    try {
      const [parts, records] = await everything(ending.signal, so_far =>
        setTold(`${plural(so_far, "record")} so far…`),
      );
      save(`trail-${org}.jsonl`, "application/jsonl", ...parts);
      setTold(`${plural(records, "record")} exported`);
    } catch (thrown) {
      setTold(ending.signal.aborted ? "Stopped: nothing was saved" : "");
      if (!ending.signal.aborted) throw thrown;
    }
  });
  return (
    <Card
      title="Export"
      aside={
        <>
          {busy && <Button onClick={() => stop.current?.abort()}>Stop</Button>}
          <Button busy={busy} onClick={run}>
            Export
          </Button>
        </>
      }
    >
      <div class="stack">
        <p class="muted">
          A JSON line for each record, the oldest first, with the hashes that prove them. On the
          machine: <code>freehold control trail export</code>.
        </p>
        <p role="status">{told}</p>
        {error && <Notice tone="bad">{error.message}</Notice>}
      </div>
    </Card>
  );
}

/**
 * All records as lines, and how many. Each page becomes a `Blob`, which the browser keeps outside of
 * the page's memory: a long trail is no more than one page of it here.
 */
async function everything(
  signal: AbortSignal,
  tell: (so_far: number) => void,
): Promise<[Blob[], number]> {
  const parts: Blob[] = [];
  const path = ofOrganization("audit/export");
  for (let after = 0, records = 0; ; ) {
    const page = await get<AuditEvent[]>(path, { signal, query: { after, limit: PAGE } });
    parts.push(new Blob(page.map(record => `${JSON.stringify(record)}\n`)));
    records += page.length;
    if (page.length < PAGE) return [parts, records];
    tell(records);
    after = page.at(-1)?.seq ?? after;
  }
}
