import { useNow } from "../../../agent/live";
import type { Verification } from "../../../agent/wire";
import { post } from "../../../lib/api";
import { count } from "../../../lib/format";
import { State } from "../../../parts/badge";
import { Button } from "../../../parts/button";
import { Card, Facts } from "../../../parts/card";
import { Progress } from "../../../parts/progress";
import { Failure, Loading, Notice } from "../../../parts/states";
import { TimeAgo } from "../../../parts/time";
import { toastError } from "../../../parts/toasts";

const TOLD = {
  never: "Not checked since it was unsealed",
  running: "Being checked",
  whole: "Whole",
  damaged: "Damaged",
  failed: "Could not be read",
};

/** The whole log checked by the agent, record by record, with how far it is. */
export function Verify() {
  const [now, live] = useNow<Verification>("verification");
  if (live.error.value) return <Failure error={live.error.value} />;
  if (!now) return <Loading />;
  const isRunning = now.state === "running";
  const start = () => post("audit/verification").catch(toastError);
  return (
    <Card
      title="The whole log"
      aside={
        <Button kind="primary" busy={isRunning} onClick={start}>
          Verify now
        </Button>
      }
    >
      <div class="stack">
        <span class="line" role="status">
          <State of={now.state} label={TOLD[now.state]} filled />
          {now.ended > 0 && <TimeAgo at={now.ended} />}
        </span>
        {isRunning && (
          <Progress
            label="Records checked"
            shares={[{ tone: "info", value: now.checked }]}
            total={now.size || 1}
          />
        )}
        {now.fault && <Notice tone="bad">{now.fault}</Notice>}
        {now.state === "whole" && <Found of={now} />}
        <p class="muted">
          The agent checks every hash and signature, and the log against its anchor. Who does not
          want to take its word: <code>freehold audit verify --log FILE</code> needs no agent.
        </p>
      </div>
    </Card>
  );
}

function Found({ of }: { of: Verification }) {
  return (
    <Facts
      rows={[
        ["Records", count(of.size)],
        ["Of which here", of.first ? `from ${count(of.first)} on` : "all"],
        ["Files", count(of.segments)],
        ["Root", <code key="root">{of.root}</code>],
        ["Signed by", <code key="key">{of.public_key}</code>],
      ]}
    />
  );
}
