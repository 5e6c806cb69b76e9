import { effect } from "@preact/signals";
import { render } from "preact";
import { navigate, path, startRouter } from "../lib/router";
import { signInState, syncTabs } from "../lib/session";
import "../styles/index.css";
import { App } from "./app";
import { HOME } from "./routes";
import { sealStatus, watchSealStatus } from "./seal-status";
import { renewOnActivity, resume } from "./session";

const root = document.getElementById("app");
if (root) {
  startRouter();
  effect(() => {
    if (path.value === "/") navigate(HOME, { replace: true });
  });
  renewOnActivity();
  syncTabs(resume);
  watchSealStatus();
  effect(() => {
    // Asked once it is known that the vault is open, and again when it was sealed in between.
    if (sealStatus.value?.sealed === false && signInState.peek().state !== "in") void resume();
  });
  render(<App />, root);
}
