import { useEffect, useState } from "preact/hooks";
import { type ApiError, asApiError } from "../../lib/api";
import { type Enrolment as Begun, beginEnrolment, confirmEnrolment } from "../../lib/door";
import { Code } from "../../parts/code";
import { Copy } from "../../parts/copy";
import { Failure, Loading } from "../../parts/states";
import { CodeField } from "./factor";
import { Step } from "./step";

interface EnrolmentProps {
  challenge: string;
  /** One is signed in, and has the recovery codes. */
  done: () => Promise<void>;
}

/** The organization wants a second step of everybody: set it up, then keep the recovery codes. */
export function Enrolment({ challenge, done }: EnrolmentProps) {
  const [begun, setBegun] = useState<Begun | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [code, setCode] = useState("");
  const [recovery, setRecovery] = useState<string[] | null>(null);
  useEffect(() => {
    beginEnrolment(challenge).then(setBegun, thrown => setError(asApiError(thrown)));
  }, [challenge]);
  const confirm = async () => setRecovery(await confirmEnrolment(challenge, code.trim()));
  if (error) return <Failure error={error} />;
  if (!begun) return <Loading />;
  if (recovery) return <Recovery codes={recovery} kept={done} />;
  return (
    <Step
      title="Set up a second step"
      action="Confirm"
      act={confirm}
      refused="This code does not count. Check that your device's clock is right."
    >
      <p class="muted">
        Your organization asks for a second step. Scan this with an authenticator, or type the key.
      </p>
      <img class="picture" src={begun.picture} alt="A code for the camera of an authenticator" />
      <p class="line">
        <code>{begun.secret}</code>
        <Copy text={begun.secret} label="Copy the key" />
      </p>
      <CodeField value={code} change={setCode} />
    </Step>
  );
}

interface RecoveryProps {
  codes: readonly string[];
  kept: () => Promise<void>;
}

function Recovery({ codes, kept }: RecoveryProps) {
  return (
    <Step title="Recovery codes" action="I have kept them" act={kept} refused="">
      <p class="muted">
        Each is good once, if your authenticator is lost. They are not shown again.
      </p>
      <Code label="Recovery codes" text={codes.join("\n")} />
    </Step>
  );
}
