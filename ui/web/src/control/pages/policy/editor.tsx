import { useState } from "preact/hooks";
import { Card } from "../../../components/card";
import { DiffView } from "../../../components/code-block";
import { Dialog } from "../../../components/dialog";
import { TextField } from "../../../components/field";
import { PolicyEditor, ValidationBadge } from "../../../components/policy-editor";
import { showToast } from "../../../components/toasts";
import { post } from "../../../lib/api";
import type { PolicyDocument, PolicyVersion } from "../../../lib/api-types";
import { formatPolicy, POLICY_TEMPLATE, useValidation } from "../../../lib/policy-document";
import { organizationPath } from "../../../lib/session";
import { PolicyDryRun } from "./dry-run";
import { FleetReplayCard } from "./replay";

interface VersionEditorProps {
  name: string;
  /** The version to start from. Null for the first. */
  newest: PolicyVersion | null;
  onSaved: () => void;
}

/** Edits the next version of a policy. */
export function VersionEditor({ name, newest, onSaved }: VersionEditorProps) {
  const before = newest ? formatPolicy(newest.document) : "";
  const [text, setText] = useState(before || formatPolicy(POLICY_TEMPLATE));
  const [dialog, setDialog] = useState(false);
  const validation = useValidation(organizationPath(`policies/${name}/validate`), text);
  const { document } = validation;
  const next = (newest?.version ?? 0) + 1;
  return (
    <div class="with-sidebar policy-write">
      <Card
        title={newest ? `Version ${next} (based on version ${newest.version})` : "Version 1"}
        aside={
          <ValidationBadge
            validation={validation}
            unchangedLabel={text === before && "Unchanged"}
          />
        }
      >
        <PolicyEditor
          label={`Document of ${name}`}
          text={text}
          saved={before}
          validation={validation}
          hint="Validated as you type. Each agent also checks the conditions and its own ceiling."
          onChange={setText}
          onSave={() => setDialog(true)}
        />
      </Card>
      <div class="stack">
        <PolicyDryRun document={document} saved={newest?.document ?? null} />
        <FleetReplayCard name={name} document={document} />
      </div>
      {dialog && document && (
        <SaveDialog
          name={name}
          number={next}
          saved={before}
          document={document}
          onClose={() => setDialog(false)}
          onSaved={onSaved}
        />
      )}
    </div>
  );
}

interface SaveDialogProps {
  name: string;
  number: number;
  saved: string;
  document: PolicyDocument;
  onClose: () => void;
  onSaved: () => void;
}

function SaveDialog({ name, number, saved, document, onClose, onSaved }: SaveDialogProps) {
  const [comment, setComment] = useState("");
  const submit = async () => {
    await post(organizationPath(`policies/${name}/versions`), { document, comment });
    showToast(`Version ${number} saved. Roll it out to apply it.`);
    onSaved();
  };
  return (
    <Dialog
      title={`Save version ${number} of ${name}`}
      submitLabel="Save"
      onSubmit={submit}
      onClose={onClose}
    >
      <DiffView label="Changes" before={saved} after={formatPolicy(document)} />
      <TextField
        label="Comment"
        hint="Why this change was made."
        value={comment}
        onChange={setComment}
        maxLength={1024}
      />
    </Dialog>
  );
}
