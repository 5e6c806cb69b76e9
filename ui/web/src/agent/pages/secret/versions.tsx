import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card } from "../../../components/card";
import { Dialog } from "../../../components/dialog";
import { type Column, Table } from "../../../components/table";
import { timeColumn } from "../../../components/time-column";
import { post } from "../../../lib/api";
import { pluralize } from "../../../lib/format";
import type { Secret, Version } from "../../api-types";
import { secretPath } from "../../secret-paths";
import { CompareVersions, versionState } from "./compare";
import { SecretValue } from "./value";

interface VersionsProps {
  secret: Secret;
  /** Oldest first. */
  versions: readonly Version[];
  onDone: (message: string) => void;
}

type VersionAction = "undelete" | "delete" | "destroy" | "rollback";

/** The versions of a secret, with the actions on each. */
export function SecretVersions({ secret, versions, onDone }: VersionsProps) {
  const newest = [...versions].reverse();
  const [selected, setSelected] = useState(newest[0]?.version ?? 0);
  const [dialog, setDialog] = useState<VersionAction | null>(null);
  const row = versions.find(({ version }) => version === selected);
  return (
    <div class="stack">
      <Card title="Versions" flush aside={pluralize(versions.length, "version")}>
        <Table
          label="Versions"
          columns={COLUMNS}
          rows={newest}
          keyOf={({ version }) => `${version}`}
          onOpen={({ version }) => setSelected(version)}
          height="16rem"
        />
      </Card>
      {row && (
        <Card
          title={`Version ${row.version}`}
          aside={<VersionActions version={row} secret={secret} onAsk={setDialog} />}
        >
          <CompareVersions name={secret.name} versions={newest} chosen={row} />
        </Card>
      )}
      {row && row.version !== secret.version && versionState(row) === "active" && (
        <SecretValue key={row.version} name={secret.name} version={row.version} />
      )}
      {row && dialog && (
        <ConfirmAction
          what={dialog}
          secret={secret}
          row={row}
          onClose={() => setDialog(null)}
          onDone={onDone}
        />
      )}
    </div>
  );
}

interface VersionActionsProps {
  version: Version;
  secret: Secret;
  onAsk: (what: VersionAction) => void;
}

function VersionActions({ version, secret, onAsk }: VersionActionsProps) {
  const state = versionState(version);
  const isOld = version.version !== secret.version;
  if (state === "destroyed") return <span>Value destroyed</span>;
  return (
    <span class="line">
      {state === "active" && isOld && <Button onClick={() => onAsk("rollback")}>Roll back…</Button>}
      {state === "active" && isOld && <Button onClick={() => onAsk("delete")}>Delete…</Button>}
      {state === "deleted" && <Button onClick={() => onAsk("undelete")}>Undelete…</Button>}
      <Button kind="danger" onClick={() => onAsk("destroy")}>
        Destroy…
      </Button>
    </span>
  );
}

const CONFIRMATIONS: Record<VersionAction, { title: string; action: string; description: string }> =
  {
    undelete: { title: "Undelete", action: "Undelete", description: "The value is served again." },
    delete: {
      title: "Delete",
      action: "Delete",
      description: "The version is not served until it is undeleted.",
    },
    destroy: {
      title: "Destroy",
      action: "Destroy permanently",
      description: "The value is erased. This cannot be undone.",
    },
    rollback: {
      title: "Roll back to",
      action: "Roll back to this version",
      description: "Writes the value of this version as a new current version.",
    },
  };

interface ConfirmActionProps {
  what: VersionAction;
  secret: Secret;
  row: Version;
  onClose: () => void;
  onDone: (message: string) => void;
}

function ConfirmAction({ what, secret, row, onClose, onDone }: ConfirmActionProps) {
  const { title, action, description } = CONFIRMATIONS[what];
  const submit = async () => {
    if (what !== "rollback") {
      await post(secretPath(what, secret.name), { versions: [row.version] });
      return onDone(`Version ${row.version} ${what === "destroy" ? "destroyed" : `${what}d`}`);
    }
    const body = { version: row.version, cas: secret.version };
    const created = await post<Secret>(secretPath("rollback", secret.name), body);
    return onDone(`Rolled back to version ${row.version} as version ${created.version}`);
  };
  return (
    <Dialog
      title={`${title} version ${row.version}?`}
      submitLabel={action}
      danger={what === "destroy"}
      onSubmit={submit}
      onClose={onClose}
    >
      <p>{description}</p>
    </Dialog>
  );
}

const COLUMNS: Column<Version>[] = [
  { name: "version", title: "Version", width: "5rem", cell: row => row.version },
  {
    name: "state",
    title: "State",
    width: "7rem",
    cell: row => <StatusBadge status={versionState(row)} />,
  },
  {
    name: "by",
    title: "Written by",
    cell: row => <span title={row.created_by}>{row.created_by}</span>,
  },
  {
    name: "metadata",
    title: "Metadata",
    width: "6.5rem",
    wideOnly: true,
    cell: row => (row.metadata_changed ? "Changed" : ""),
  },
  timeColumn("at", "Written", row => row.created_at),
];
