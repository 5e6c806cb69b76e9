import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Dialog } from "../../../components/dialog";
import { TextArea } from "../../../components/field";
import { showToast } from "../../../components/toasts";
import { ApiError, post } from "../../../lib/api";
import { pluralize } from "../../../lib/format";
import { organizationPath } from "../../../lib/session";
import { formatTime } from "../../../lib/time-zone";
import type { Control, Evidence, Note, Proof } from "./api-types";

interface ControlCardProps {
  control: Control;
  /** Title of the framework. */
  frameworkTitle: string;
  evidence: Record<string, Evidence>;
}

/** A control with its result, evidence and notes. */
export function ControlCard({ control, frameworkTitle, evidence }: ControlCardProps) {
  const [adding, setAdding] = useState(false);
  const items = control.evidence.flatMap(id => evidence[id] ?? []);
  return (
    <details class="control">
      <summary>
        <span class="control-name">
          <span class="mono muted">{control.id}</span> <strong>{control.title}</strong>
          <span class="muted small">{frameworkTitle}</span>
        </span>
        <StatusBadge status={control.result} />
      </summary>
      <div class="stack">
        <p>{control.statement}</p>
        {items.map(item => (
          <EvidenceItem key={item.id} item={item} />
        ))}
        {control.by_hand && (
          <p>
            <strong>Add manually:</strong> {control.by_hand}
          </p>
        )}
        {control.notes.length > 0 && <NoteList notes={control.notes} />}
        <div class="noprint">
          <Button onClick={() => setAdding(true)}>Add note…</Button>
        </div>
      </div>
      {adding && <NoteDialog control={control} onClose={() => setAdding(false)} />}
    </details>
  );
}

function EvidenceItem({ item }: { item: Evidence }) {
  return (
    <section class="evidence" aria-label={item.title}>
      <p class="evidence-head">
        <strong>{item.title}</strong>
        <StatusBadge status={item.result} />
      </p>
      <p>{item.summary}</p>
      {item.lacking && <p class="muted">Missing: {item.lacking}</p>}
      {item.exceptions.length > 0 && <p>Exceptions: {item.exceptions.join(", ")}</p>}
      {item.proofs.length > 0 && (
        <details class="proofs">
          <summary>
            {item.proofs.length} of {pluralize(item.total, "proof")}
          </summary>
          <ul>
            {item.proofs.map((proof, index) => {
              const [text, hash] = proofText(proof);
              return (
                <li key={index}>
                  {text}
                  {hash && <code>{hash}</code>}
                </li>
              );
            })}
          </ul>
        </details>
      )}
    </section>
  );
}

function NoteList({ notes }: { notes: readonly Note[] }) {
  return (
    <ul class="notes" aria-label="Notes">
      {notes.map(note => (
        <li key={note.id}>
          <span class="muted">
            {note.by}, {formatTime(note.at / 1e6)}:
          </span>{" "}
          {note.text}
          {note.name && <span class="muted"> ({note.name})</span>}
        </li>
      ))}
    </ul>
  );
}

const MAX_DOCUMENT = 128 * 1024; // bytes

/** Adds a note, with an optional document, as manual evidence for a control. */
export function NoteDialog({ control, onClose }: { control: Control; onClose: () => void }) {
  const [text, setText] = useState("");
  const [file, setFile] = useState<File | null>(null);
  const submit = async () => {
    const { framework, id } = control;
    const document = file ? await encodeFile(file) : {};
    await post(organizationPath("control-notes"), { framework, control: id, text, ...document });
    showToast("Note added. The next report includes it.");
  };
  return (
    <Dialog
      title={`Add note to ${control.id}`}
      submitLabel="Add"
      onSubmit={submit}
      onClose={onClose}
    >
      <p>
        A note cannot be changed later. The audit log records your name. New reports include the
        note.
      </p>
      <TextArea label="Note" value={text} onChange={setText} rows={4} maxLength={4096} required />
      <label class="document">
        <span>Document (at most 128 KiB)</span>
        <input type="file" onChange={event => setFile(event.currentTarget.files?.[0] ?? null)} />
      </label>
    </Dialog>
  );
}

async function encodeFile(file: File): Promise<{ name: string; content: string }> {
  if (file.size > MAX_DOCUMENT)
    throw new ApiError(0, "size", "the document is larger than 128 KiB: choose a smaller one");
  const data = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (const byte of data) text += String.fromCharCode(byte);
  const name = file.name.replace(/[^A-Za-z0-9._-]/g, "-").replace(/^[^A-Za-z0-9]+/, "");
  return { name: (name || "document").slice(0, 100), content: btoa(text) };
}

/** The text of a proof and the hash that commits to it (empty for none). */
export function proofText(proof: Proof): [string, string] {
  const { record, vault } = proof;
  switch (proof.kind) {
    case "trail":
      return record
        ? [
            `Record ${record.seq}, ${formatNanoseconds(record.at)}: ${record.actor || "Not signed in"} ${record.operation} ${record.target} ${record.result}`,
            record.hash,
          ]
        : ["A record", ""];
    case "checkpoint": {
      const grown = proof.grown_from ? `, consistent with size ${proof.grown_from}` : "";
      return [
        `${vault}: ${proof.size} records${grown}, cosigned ${formatNanoseconds(proof.at)}`,
        proof.root ?? "",
      ];
    }
    case "policy":
      return [`${vault}: bundle ${proof.version}, applied ${proof.applied}`, proof.bundle ?? ""];
    case "certificate":
      return [
        `${vault}: certificate valid until ${formatNanoseconds(proof.not_after)}`,
        proof.digest ?? "",
      ];
    case "reported":
      return [`${vault} reports: ${proof.name} = ${proof.value}`, ""];
    case "state":
      return [
        `${proof.subject || "The organization"}: ${proof.name} was ${proof.value} from ${formatNanoseconds(proof.since)} to ${formatNanoseconds(proof.until)}`,
        "",
      ];
    case "setting":
      return [`${proof.name} = ${proof.value}`, ""];
  }
}

function formatNanoseconds(nanoseconds: number | undefined): string {
  return nanoseconds ? formatTime(nanoseconds / 1e6) : "never";
}
