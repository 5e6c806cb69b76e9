import { useState } from "preact/hooks";
import { post } from "../../lib/api";
import type { Enrolment } from "../../lib/door";
import { Button } from "../../parts/button";
import { Form } from "../../parts/form";
import { toast } from "../../parts/toasts";
import { CodeField } from "../login/factor";
import { Scan } from "./scan";
import type { Codes } from "./second-factor";

interface ReplaceProps {
  keep: (codes: string[]) => void;
  cancel: () => void;
}

/** Another authenticator in place of the one in force, which stays so until the new one's code. */
export function Replace({ keep, cancel }: ReplaceProps) {
  const [begun, setBegun] = useState<Enrolment | null>(null);
  const [code, setCode] = useState("");
  const show = async () => {
    setBegun(await post<Enrolment>("second-factor/replacement", { code: code.trim() }));
    setCode("");
  };
  const confirm = async () => {
    const made = await post<Codes>("second-factor/replacement/confirm", { code: code.trim() });
    toast("Your other authenticator is in force, the one before is not");
    keep(made.recovery_codes);
  };
  if (begun) {
    return <Scan begun={begun} code={code} change={setCode} act={confirm} cancel={cancel} />;
  }
  return (
    <Form action="Go on" act={show} also={<Button onClick={cancel}>Cancel</Button>}>
      <p class="muted whole">Show the one that you have first. It stays in force until the end.</p>
      <CodeField value={code} change={setCode} hint="Or one of your recovery codes" />
    </Form>
  );
}
