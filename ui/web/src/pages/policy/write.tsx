import { useState } from "preact/hooks";
import { post } from "../../lib/api";
import { ofOrganization } from "../../lib/session";
import type { PolicyDocument, PolicyVersion } from "../../lib/types";
import { State } from "../../parts/badge";
import { Button } from "../../parts/button";
import { Card } from "../../parts/card";
import { Diff } from "../../parts/code";
import { Dialog } from "../../parts/dialog";
import { Editor } from "../../parts/editor";
import { Field } from "../../parts/field";
import { toast } from "../../parts/toasts";
import { useJudged } from "./draft";
import { Trial } from "./trial";

const FIRST: PolicyDocument = {
  description: "",
  rules: [{ effect: "allow", paths: ["secret/example/*"], capabilities: ["read", "list"] }],
};

interface WriteProps {
  name: string;
  /** What is written on from; null: there is none yet. */
  newest: PolicyVersion | null;
  written: () => void;
}

/** The next version: typed, checked while one types, tried out, compared, saved. */
export function Write({ name, newest, written }: WriteProps) {
  const before = newest ? shown(newest.document) : "";
  const [text, setText] = useState(before || shown(FIRST));
  const [asks, setAsks] = useState(false);
  const { checking, document, faults } = useJudged(name, text);
  const isSame = text === before;
  const next = (newest?.version ?? 0) + 1;
  return (
    <div class="beside policy-write">
      <Card
        title={newest ? `Version ${next}, from version ${newest.version}` : "Version 1"}
        aside={<Verdict checking={checking} faults={faults.length} same={isSame} />}
      >
        <div class="stack">
          <Editor
            label={`Document of ${name}`}
            value={text}
            change={setText}
            faults={faults}
            hint="Checked as you type. The agent has the last word: it knows every condition and has its own ceiling."
          />
          <div class="line">
            <Button kind="primary" disabled={!document || isSame} onClick={() => setAsks(true)}>
              Save…
            </Button>
            <Button disabled={!document} onClick={() => document && setText(shown(document))}>
              Format
            </Button>
            <Button disabled={isSame} onClick={() => setText(before || shown(FIRST))}>
              Discard
            </Button>
          </div>
        </div>
      </Card>
      <Trial document={document} before={newest?.document ?? null} />
      {asks && document && (
        <Save
          name={name}
          number={next}
          before={before}
          document={document}
          close={() => setAsks(false)}
          written={written}
        />
      )}
    </div>
  );
}

function Verdict({ checking, faults, same }: { checking: boolean; faults: number; same: boolean }) {
  if (checking) return <State of="unknown" label="Checking" />;
  if (faults) return <State of="failed" label="Faulty" />;
  return same ? <State of="unknown" label="Unchanged" /> : <State of="ok" label="Valid" />;
}

interface SaveProps {
  name: string;
  number: number;
  before: string;
  document: PolicyDocument;
  close: () => void;
  written: () => void;
}

function Save({ name, number, before, document, close, written }: SaveProps) {
  const [comment, setComment] = useState("");
  const act = async () => {
    await post(ofOrganization(`policies/${name}/versions`), { document, comment });
    toast(`Version ${number} is saved. Nobody has it before a roll-out.`);
    written();
  };
  return (
    <Dialog title={`Save version ${number} of ${name}`} action="Save" act={act} close={close}>
      <Diff label="What changes" before={before} after={shown(document)} />
      <Field
        label="Comment"
        hint="Why: people who look back will ask."
        value={comment}
        change={setComment}
        maxLength={1024}
      />
    </Dialog>
  );
}

/** As people read it; the name is not shown, for it is the policy's own. */
export function shown({ name: _, ...document }: PolicyDocument): string {
  return `${folded(JSON.stringify(document, null, 2))}\n`;
}

/** Short lists on one line. */
function folded(text: string): string {
  return text.replace(
    /\[\n\s+("(?:[^"\\]|\\.)*"(?:,\n\s+"(?:[^"\\]|\\.)*")*)\n\s+\]/g,
    (whole, list) => {
      const line = `[${String(list).replace(/,\n\s+/g, ", ")}]`;
      return line.length > 72 ? whole : line;
    },
  );
}
