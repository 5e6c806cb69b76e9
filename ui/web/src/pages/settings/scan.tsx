import type { Enrolment } from "../../lib/door";
import { Button } from "../../parts/button";
import { Copy } from "../../parts/copy";
import { Form } from "../../parts/form";
import { CodeField } from "../login/factor";
import "./scan.css";

interface ScanProps {
  begun: Enrolment;
  code: string;
  change: (code: string) => void;
  act: () => Promise<unknown>;
  cancel: () => void;
}

/** The secret for an authenticator, and its first code. */
export function Scan({ begun, code, change, act, cancel }: ScanProps) {
  return (
    <div class="set-up">
      <img src={begun.picture} alt="A code for the camera of an authenticator" />
      <Form action="Confirm" act={act} also={<Button onClick={cancel}>Cancel</Button>}>
        <p class="muted whole">Scan this with an authenticator, or type the key:</p>
        <p class="line whole">
          <code>{begun.secret}</code>
          <Copy text={begun.secret} label="Copy the key" />
        </p>
        <CodeField value={code} change={change} />
      </Form>
    </div>
  );
}
