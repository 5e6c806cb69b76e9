import { FIRST, type Judged, shown } from "../lib/draft";
import { State } from "./badge";
import { Button } from "./button";
import { Editor } from "./editor";

interface DraftProps {
  label: string;
  text: string;
  /** What is stored; empty: nothing is. */
  before: string;
  judged: Judged;
  hint: string;
  change: (text: string) => void;
  save: () => void;
}

/** A policy that is typed: its faults at their lines, saved once it has none. */
export function Draft({ label, text, before, judged, hint, change, save }: DraftProps) {
  const { document, faults } = judged;
  const isSame = text === before;
  return (
    <div class="stack">
      <Editor label={label} value={text} change={change} faults={faults} hint={hint} />
      <div class="line">
        <Button kind="primary" disabled={!document || isSame} onClick={save}>
          Save…
        </Button>
        <Button disabled={!document} onClick={() => document && change(shown(document))}>
          Format
        </Button>
        <Button disabled={isSame} onClick={() => change(before || shown(FIRST))}>
          Discard
        </Button>
      </div>
    </div>
  );
}

/** How a draft stands. */
export function Verdict({ judged, same }: { judged: Judged; same: string | false }) {
  if (judged.checking) return <State of="unknown" label="Checking" />;
  if (judged.faults.length) return <State of="failed" label="Faulty" />;
  return same ? <State of="unknown" label={same} /> : <State of="ok" label="Valid" />;
}
