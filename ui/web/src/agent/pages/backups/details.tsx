import { useState } from "preact/hooks";
import { Button } from "../../../components/button";
import { Card, DescriptionList } from "../../../components/card";
import { Notice } from "../../../components/states";
import { Timestamp } from "../../../components/time";
import { formatBytes, formatCount, formatMillis } from "../../../lib/format";
import type { Backup, BackupCertificate } from "../../api-types";
import { DeleteBackup, RestoreSecrets, validate } from "./dialogs";
import type { RestoreStarted } from "./restore";

interface BackupDetailsProps {
  backup: Backup;
  /** A run has begun, of this id. */
  onBegin: (run: string) => void;
  onRestore: (started: RestoreStarted) => void;
  onDeleted: () => void;
}

/** What a manifest says, and what can be done with the backup. */
export function BackupDetails({ backup, onBegin, onRestore, onDeleted }: BackupDetailsProps) {
  const [dialog, setDialog] = useState<"" | "restore" | "delete">("");
  const close = () => setDialog("");
  return (
    <Card
      title={`Backup ${backup.id}`}
      aside={
        <>
          <Button onClick={() => validate(backup, onBegin)}>Validate</Button>
          <Button disabled={!backup.verified} onClick={() => setDialog("restore")}>
            Restore secrets…
          </Button>
          <Button kind="danger" onClick={() => setDialog("delete")}>
            Delete backup…
          </Button>
        </>
      }
    >
      <div class="stack">
        {backup.fault && <Notice tone="bad">Not verified: {backup.fault}.</Notice>}
        <DescriptionList
          rows={[
            ["Destination", backup.destination],
            ["Made", <Timestamp key="made" at={backup.created_at} />],
            ["Kind", backup.base ? `${backup.kind}, on ${backup.base}` : backup.kind || "–"],
            ["Size", `${formatBytes(backup.bytes)}, ${formatCount(backup.rows)} rows`],
            ["Last commit", formatCount(backup.commits)],
            ...certificateRows(backup.certificate),
          ]}
        />
      </div>
      {dialog === "restore" && (
        <RestoreSecrets backup={backup} onBegin={onRestore} onClose={close} />
      )}
      {dialog === "delete" && <DeleteBackup backup={backup} onDone={onDeleted} onClose={close} />}
    </Card>
  );
}

function certificateRows(
  found: BackupCertificate | null,
): Parameters<typeof DescriptionList>[0]["rows"] {
  if (!found) return [["Restore certificate", "None: no restore of it has been tested"]];
  const depth =
    found.rto_ms === null
      ? "signatures and chunks verified, nothing restored"
      : `${formatCount(found.rows)} rows restored`;
  return [
    [
      "Restore certificate",
      <span key="proven">
        <Timestamp at={found.finished_at} />, {depth}
      </span>,
    ],
    ["Restore time (RTO)", found.rto_ms === null ? "–" : formatMillis(found.rto_ms)],
    ["Possible loss (RPO)", formatMillis(found.rpo_ms)],
    ["Certificate file", <code key="name">{found.name}</code>],
    ["Certificate SHA-256", <code key="hash">{found.sha256}</code>],
  ];
}
