import { useState } from "preact/hooks";
import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { pluralize } from "../../../lib/format";
import { formatTime } from "../../../lib/time-zone";
import type { Control, Evidence, Note } from "./api-types";
import { NoteDialog } from "./note-dialog";
import { proofText } from "./proof-text";

interface ControlProps {
  control: Control;
  /** Of its framework. */
  title: string;
  evidence: Record<string, Evidence>;
}

/** One requirement: what came of it, why, and the proofs. */
export function ControlCard({ control, title, evidence }: ControlProps) {
  const [adding, setAdding] = useState(false);
  const items = control.evidence.flatMap(id => evidence[id] ?? []);
  return (
    <details class="control">
      <summary>
        <span class="control-name">
          <span class="mono muted">{control.id}</span> <strong>{control.title}</strong>
          <span class="muted small">{title}</span>
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
            <strong>To be added by a person:</strong> {control.by_hand}
          </p>
        )}
        {control.notes.length > 0 && <NoteList notes={control.notes} />}
        <div class="noprint">
          <Button onClick={() => setAdding(true)}>Add a note…</Button>
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
      {item.lacking && <p class="muted">Not known: {item.lacking}</p>}
      {item.exceptions.length > 0 && <p>Not so: {item.exceptions.join(", ")}</p>}
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
    <ul class="notes" aria-label="Added by people">
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
