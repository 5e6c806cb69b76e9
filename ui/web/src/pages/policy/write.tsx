import { useState } from "preact/hooks";
import { post } from "../../lib/api";
import { FIRST, shown, useJudged } from "../../lib/draft";
import { ofOrganization } from "../../lib/session";
import type { PolicyDocument, PolicyVersion } from "../../lib/types";
import { Card } from "../../parts/card";
import { Diff } from "../../parts/code";
import { Dialog } from "../../parts/dialog";
import { Draft, Verdict } from "../../parts/draft";
import { Field } from "../../parts/field";
import { toast } from "../../parts/toasts";
import { Replay } from "./replay";
import { Trial } from "./trial";

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
  const judged = useJudged(ofOrganization(`policies/${name}/validate`), text);
  const { document } = judged;
  const next = (newest?.version ?? 0) + 1;
  return (
    <div class="beside policy-write">
      <Card
        title={newest ? `Version ${next}, from version ${newest.version}` : "Version 1"}
        aside={<Verdict judged={judged} same={text === before && "Unchanged"} />}
      >
        <Draft
          label={`Document of ${name}`}
          text={text}
          before={before}
          judged={judged}
          hint="Checked as you type. The agent has the last word: it knows every condition and has its own ceiling."
          change={setText}
          save={() => setAsks(true)}
        />
      </Card>
      <div class="stack">
        <Trial document={document} before={newest?.document ?? null} />
        <Replay name={name} document={document} />
      </div>
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
