import { useState } from "preact/hooks";
import { plural } from "../../lib/format";
import { shownMoment } from "../../lib/zone";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { AddNote } from "./note";
import { told } from "./told";
import type { Control, Evidence, Note } from "./wire";

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
        <State of={control.result} />
      </summary>
      <div class="stack">
        <p>{control.statement}</p>
        {items.map(item => (
          <Item key={item.id} item={item} />
        ))}
        {control.by_hand && (
          <p>
            <strong>To be added by a person:</strong> {control.by_hand}
          </p>
        )}
        {control.notes.length > 0 && <Notes of={control.notes} />}
        <div class="noprint">
          <Button onClick={() => setAdding(true)}>Add a note…</Button>
        </div>
      </div>
      {adding && <AddNote control={control} close={() => setAdding(false)} />}
    </details>
  );
}

function Item({ item }: { item: Evidence }) {
  return (
    <section class="evidence" aria-label={item.title}>
      <p class="evidence-head">
        <strong>{item.title}</strong>
        <State of={item.result} />
      </p>
      <p>{item.summary}</p>
      {item.lacking && <p class="muted">Not known: {item.lacking}</p>}
      {item.exceptions.length > 0 && <p>Not so: {item.exceptions.join(", ")}</p>}
      {item.proofs.length > 0 && (
        <details class="proofs">
          <summary>
            {item.proofs.length} of {plural(item.total, "proof")}
          </summary>
          <ul>
            {item.proofs.map((proof, index) => {
              const [text, hash] = told(proof);
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

function Notes({ of }: { of: readonly Note[] }) {
  return (
    <ul class="notes" aria-label="Added by people">
      {of.map(note => (
        <li key={note.id}>
          <span class="muted">
            {note.by}, {shownMoment(note.at / 1e6)}:
          </span>{" "}
          {note.text}
          {note.name && <span class="muted"> ({note.name})</span>}
        </li>
      ))}
    </ul>
  );
}
