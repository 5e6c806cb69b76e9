import { render } from "preact";
import { finishProviderSignIn } from "../lib/door";
import { takeFragmentParameter } from "../lib/fragment";
import { watchInvitationLinks } from "../lib/invitation";
import { startRouter } from "../lib/router";
import { restoreSession, syncTabs } from "../lib/session";
import "../styles/index.css";
import { App } from "./app";

const root = document.getElementById("app");
if (root) {
  const code = takeFragmentParameter("signin", location, history);
  watchInvitationLinks();
  startRouter();
  syncTabs(restoreSession);
  void (code ? finishProviderSignIn(code) : restoreSession());
  render(<App />, root);
}
