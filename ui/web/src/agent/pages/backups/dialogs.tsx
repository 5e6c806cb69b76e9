import { useState } from "preact/hooks";
import { Dialog } from "../../../components/dialog";
import { SelectField, TextArea } from "../../../components/field";
import { Checkbox } from "../../../components/form";
import { showError, showToast } from "../../../components/toasts";
import { apiRequest, post } from "../../../lib/api";
import type { Backup, BackupDestination, BackupRun } from "../../api-types";
import { type RestoreStarted, startRestore } from "./restore";

interface BackUpNowProps {
  destinations: readonly BackupDestination[];
  onBegin: (run: string) => void;
  onClose: () => void;
}

export function BackUpNow({ destinations, onBegin, onClose }: BackUpNowProps) {
  const [at, setAt] = useState("");
  const [full, setFull] = useState(false);
  const submit = async () => {
    const body = { destinations: at ? [at] : [], full };
    onBegin((await post<BackupRun>("backups", body)).id);
  };
  return (
    <Dialog title="Back up now" submitLabel="Back up" onSubmit={submit} onClose={onClose}>
      <SelectField
        label="Destination"
        value={at}
        onChange={setAt}
        options={[
          ["", "All destinations"],
          ...destinations.map(({ name }) => [name, name] as const),
        ]}
      />
      <Checkbox
        label="Full backup, not only what was changed since the last one"
        checked={full}
        onChange={setFull}
      />
    </Dialog>
  );
}

/** Begin to read a backup and all that it builds on. */
export async function validate(backup: Backup, onBegin: (run: string) => void): Promise<void> {
  try {
    const run = await post<BackupRun>(backupPath(backup, "/validate"));
    onBegin(run.id);
  } catch (error) {
    showError(error);
  }
}

interface DeleteBackupProps {
  backup: Backup;
  onDone: () => void;
  onClose: () => void;
}

export function DeleteBackup({ backup, onDone, onClose }: DeleteBackupProps) {
  const submit = async () => {
    await apiRequest("DELETE", backupPath(backup));
    showToast("Backup deleted");
    onDone();
  };
  return (
    <Dialog
      title="Delete this backup?"
      submitLabel="Delete"
      danger
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        <code>{backup.id}</code> at {backup.destination} and its certificates are removed. This
        cannot be undone.
      </p>
    </Dialog>
  );
}

interface RestoreSecretsProps {
  backup: Backup;
  onBegin: (started: RestoreStarted) => void;
  onClose: () => void;
}

/** Asks for names, and begins a dry run. */
export function RestoreSecrets({ backup, onBegin, onClose }: RestoreSecretsProps) {
  const [names, setNames] = useState("");
  const [overwrite, setOverwrite] = useState(false);
  const submit = async () => {
    const listed = names
      .split("\n")
      .map(name => name.trim())
      .filter(Boolean);
    onBegin(await startRestore(backup, { names: listed, overwrite, dry_run: true }));
  };
  return (
    <Dialog title="Restore secrets" submitLabel="Start dry run" onSubmit={submit} onClose={onClose}>
      <TextArea
        label="Names"
        hint="One per line. A name that ends with a slash is a folder: secret/app/"
        rows={5}
        required
        value={names}
        onChange={setNames}
      />
      <Checkbox
        label="Also write secrets that have a value now"
        checked={overwrite}
        onChange={setOverwrite}
      />
      <p class="muted">
        The dry run shows what would be written, and writes nothing. A secret comes back as a new
        version, with your rights. A whole backup is restored into an empty database with{" "}
        <code>freehold backup restore</code>.
      </p>
    </Dialog>
  );
}

function backupPath({ id, destination }: Backup, action = ""): string {
  return `backups/${encodeURIComponent(id)}${action}?destination=${encodeURIComponent(destination)}`;
}
