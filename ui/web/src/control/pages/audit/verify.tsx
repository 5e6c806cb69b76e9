import { useEffect, useRef, useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card, DescriptionList } from "../../../components/card";
import { Await, Notice } from "../../../components/states";
import { Timestamp } from "../../../components/time";
import { showError } from "../../../components/toasts";
import { get } from "../../../lib/api";
import { downloadFile, saveFile } from "../../../lib/download";
import { formatCount, pluralize } from "../../../lib/format";
import { useAction, useGet } from "../../../lib/hooks";
import { CONTROL_LIMITS } from "../../../lib/limits";
import { organization, organizationPath } from "../../../lib/session";
import type { AuditRecord, ChainVerification, SignedHead } from "./api-types";

const VERIFY_TIMEOUT = 300_000; // milliseconds; the whole chain is read
const PAGE_SIZE = CONTROL_LIMITS["audit/export"];

/** Verifies the hash chain, signs its head and exports all records. */
export function Verify() {
  return (
    <div class="columns">
      <ChainCard />
      <SignedHeadCard />
      <ExportCard />
    </div>
  );
}

function ChainCard() {
  const [verdict, setVerdict] = useState<ChainVerification | null>(null);
  const { run, busy, error } = useAction(async () => {
    setVerdict(
      await get<ChainVerification>(organizationPath("audit/verify"), { timeout: VERIFY_TIMEOUT }),
    );
  });
  return (
    <Card
      title="Hash chain"
      aside={
        <Button kind="primary" busy={busy} onClick={run}>
          Verify now
        </Button>
      }
    >
      <div class="stack">
        <span class="line" role="status">
          {verdict ? (
            <StatusBadge status={verdict.broken_at ? "damaged" : "whole"} filled />
          ) : (
            <StatusBadge status="never" label="Not verified yet" />
          )}
        </span>
        {error && <Notice tone="bad">{error.message}</Notice>}
        {verdict && <VerificationDetails verification={verdict} />}
        <p class="muted">
          The control plane recomputes every hash. To verify independently, keep signed heads
          elsewhere and run this on the control plane's machine:{" "}
          <code>freehold control audit verify</code>.
        </p>
      </div>
    </Card>
  );
}

function VerificationDetails({
  verification: { base, broken_at, head, size },
}: {
  verification: ChainVerification;
}) {
  return (
    <>
      {broken_at > 0 && (
        <Notice tone="bad">
          Record {formatCount(broken_at)} does not match the record before it. This record or an
          earlier one was changed.
        </Notice>
      )}
      <DescriptionList
        rows={[
          ["Records", formatCount(size)],
          ["Deleted by retention", base ? `The first ${formatCount(base)}` : "None"],
          ["Head", <code key="head">{head}</code>],
        ]}
      />
    </>
  );
}

/** Downloads the server's own text, because JavaScript cannot represent `at` exactly. */
function SignedHeadCard() {
  const result = useGet<SignedHead>(organizationPath("audit/head"));
  return (
    <Card title="Signed head" aside={<Button onClick={result.reload}>Sign again</Button>}>
      <Await query={result}>
        {head => (
          <div class="stack">
            <DescriptionList
              rows={[
                ["Records", formatCount(head.size)],
                ["Signed", <Timestamp key="at" at={head.at / 1e9} />],
                ["Hash", <code key="hash">{head.hash}</code>],
                ["Signature", <code key="signature">{head.signature}</code>],
                ["Key", <code key="key">{head.key}</code>],
              ]}
            />
            <p class="muted">
              Keep a signed head outside this system. Later changes to records before it can then be
              detected.{" "}
              <Button
                kind="quiet"
                onClick={() =>
                  downloadFile(organizationPath("audit/head"), {}, "trail-head.json").catch(
                    showError,
                  )
                }
              >
                Download signed head
              </Button>
            </p>
          </div>
        )}
      </Await>
    </Card>
  );
}

function ExportCard() {
  const [text, setTold] = useState("");
  const stop = useRef<AbortController>(undefined);
  useEffect(() => () => stop.current?.abort(), []);
  const { run, busy, error } = useAction(async () => {
    const controller = new AbortController();
    stop.current = controller;
    setTold("");
    const org = organization.peek();
    try {
      const [parts, records] = await exportAll(controller.signal, exported =>
        setTold(`${pluralize(exported, "record")} so far…`),
      );
      saveFile(`trail-${org}.jsonl`, "application/jsonl", ...parts);
      setTold(`${pluralize(records, "record")} exported`);
    } catch (thrown) {
      setTold(controller.signal.aborted ? "Stopped. Nothing was saved." : "");
      if (!controller.signal.aborted) throw thrown;
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
          JSON Lines, one record per line, oldest first, with its hashes. From the command line:{" "}
          <code>freehold control audit export</code>.
        </p>
        <p role="status">{text}</p>
        {error && <Notice tone="bad">{error.message}</Notice>}
      </div>
    </Card>
  );
}

/**
 * All records as JSON Lines, and their number. Each page is a `Blob`, which the browser stores
 * outside the page's memory.
 */
async function exportAll(
  signal: AbortSignal,
  onProgress: (exported: number) => void,
): Promise<[Blob[], number]> {
  const parts: Blob[] = [];
  const path = organizationPath("audit/export");
  for (let after = 0, records = 0; ; ) {
    const page = await get<AuditRecord[]>(path, { signal, query: { after, limit: PAGE_SIZE } });
    parts.push(new Blob(page.map(record => `${JSON.stringify(record)}\n`)));
    records += page.length;
    if (page.length < PAGE_SIZE) return [parts, records];
    onProgress(records);
    after = page.at(-1)?.seq ?? after;
  }
}
