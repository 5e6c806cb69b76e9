import { useState } from "preact/hooks";
import { type Opened, returned } from "../lib/door";
import { invitation } from "../lib/invitation";
import { query, setQuery } from "../lib/router";
import { resume } from "../lib/session";
import { Door } from "../parts/door";
import { Enrolment } from "./login/enrolment";
import { Factor } from "./login/factor";
import { Invited } from "./login/invited";
import { Password } from "./login/password";

/** The door: a password or an invitation, and the second step where there is one or has to be. */
export default function Login() {
  const signin = query.value.get("signin");
  const secret = invitation.value;
  const [at, setAt] = useState<Opened | null>(returned.value);
  const [hasAccount, setHasAccount] = useState(false);
  const done = async () => {
    returned.value = null;
    setQuery({ signin: "" });
    await resume();
  };
  const next = async (opened: Opened) => (opened.state === "open" ? done() : setAt(opened));
  return (
    <Door of="Freehold">
      {at?.state === "enrolment" && <Enrolment challenge={at.challenge} done={done} />}
      {at?.state === "second-factor" && <Factor challenge={at.challenge} next={next} />}
      {!at && secret && !hasAccount && (
        <Invited key={secret} secret={secret} next={next} instead={() => setHasAccount(true)} />
      )}
      {!at && (!secret || hasAccount) && <Password next={next} failed={signin ?? ""} />}
    </Door>
  );
}
