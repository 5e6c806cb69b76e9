import { useState } from "preact/hooks";
import type { Opened } from "../lib/door";
import { resume } from "../lib/session";
import { ThemeButton } from "../parts/shell";
import { Enrolment } from "./login/enrolment";
import { Factor } from "./login/factor";
import { Password } from "./login/password";
import "./login.css";

/** The door: a password, and the second step where there is one or has to be. */
export default function Login() {
  const [at, setAt] = useState<Opened | null>(null);
  const next = async (opened: Opened) => {
    if (opened.state === "open") await resume();
    else setAt(opened);
  };
  return (
    <main class="door">
      <div class="brand">
        <img src="/icon.svg" alt="" />
        Freehold
      </div>
      {at?.state === "enrolment" && <Enrolment challenge={at.challenge} />}
      {at?.state === "second-factor" && <Factor challenge={at.challenge} next={next} />}
      {!at && <Password next={next} />}
      <div class="line">
        <ThemeButton />
      </div>
    </main>
  );
}
