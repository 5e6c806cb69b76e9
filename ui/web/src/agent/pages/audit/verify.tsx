import { StatusBadge } from "../../../components/badge";
import { Button } from "../../../components/button";
import { Card, DescriptionList } from "../../../components/card";
import { ProgressBar } from "../../../components/progress";
import { ErrorState, Loading, Notice } from "../../../components/states";
import { RelativeTime } from "../../../components/time";
import { showError } from "../../../components/toasts";
import { post } from "../../../lib/api";
import { formatCount } from "../../../lib/format";
import type { Verification } from "../../api-types";
import { useTopicRow } from "../../topics";

const STATE_LABELS = {
  never: "Not verified since unsealing",
  running: "Verifying",
  whole: "Intact",
  damaged: "Damaged",
  failed: "Not readable",
};

/** Runs the agent's verification of the whole log and shows its progress. */
export function Verify() {
  const [now, live] = useTopicRow<Verification>("verification");
  if (live.error.value) return <ErrorState error={live.error.value} />;
  if (!now) return <Loading />;
  const isRunning = now.state === "running";
  const start = () => post("audit/verification").catch(showError);
  return (
    <Card
      title="Log verification"
      aside={
        <Button kind="primary" busy={isRunning} onClick={start}>
          Verify now
        </Button>
      }
    >
      <div class="stack">
        <span class="line" role="status">
          <StatusBadge status={now.state} label={STATE_LABELS[now.state]} filled />
          {now.ended > 0 && <RelativeTime at={now.ended} />}
        </span>
        {isRunning && (
          <ProgressBar
            label="Records verified"
            segments={[{ tone: "info", value: now.checked }]}
            total={now.size || 1}
          />
        )}
        {now.fault && <Notice tone="bad">{now.fault}</Notice>}
        {now.state === "whole" && <VerificationDetails verification={now} />}
        <p class="muted">
          The agent checks every hash and signature, and compares the log with its anchor. To verify
          without the agent, run <code>freehold audit verify --log FILE</code>.
        </p>
      </div>
    </Card>
  );
}

function VerificationDetails({ verification }: { verification: Verification }) {
  return (
    <DescriptionList
      rows={[
        ["Records", formatCount(verification.size)],
        [
          "Stored here",
          verification.first ? `From record ${formatCount(verification.first)}` : "All",
        ],
        ["Files", formatCount(verification.segments)],
        ["Root", <code key="root">{verification.root}</code>],
        ["Signed by", <code key="key">{verification.public_key}</code>],
      ]}
    />
  );
}
