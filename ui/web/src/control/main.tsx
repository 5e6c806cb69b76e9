import { render } from "preact";
import { startRouter } from "../lib/router";
import { restoreSession, syncTabs } from "../lib/session";
import { takeFragmentParameter } from "./fragment";
import { watchInvitationLinks } from "./invitation";
import { finishProviderSignIn } from "./sign-in";
import "../styles/index.css";
import { App } from "./app";

const root = document.getElementById("app");
if (root) {
  const code = takeFragmentParameter("signin", location, history);
  watchInvitationLinks();
  startRouter();
  syncTabs(() => restoreSession());
  void (code ? finishProviderSignIn(code) : restoreSession());
  render(<App />, root);
}
