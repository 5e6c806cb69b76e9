import { effect } from "@preact/signals";
import { render } from "preact";
import { navigate, path, startRouter } from "../lib/router";
import { signInState, syncTabs } from "../lib/session";
import "../styles/index.css";
import { App } from "./app";
import { finishProviderLogin } from "./login";
import { HOME } from "./routes";
import { sealStatus, watchSealStatus } from "./seal-status";
import { renewOnActivity, restoreSession } from "./session";

const root = document.getElementById("app");
if (root) {
  startRouter();
  void finishProviderLogin();
  effect(() => {
    if (path.value === "/") navigate(HOME, { replace: true });
  });
  renewOnActivity();
  syncTabs(restoreSession);
  watchSealStatus();
  effect(() => {
    // Restore the session once the vault is unsealed, and again after each unseal.
    if (sealStatus.value?.sealed === false && signInState.peek().state !== "in")
      void restoreSession();
  });
  render(<App />, root);
}
