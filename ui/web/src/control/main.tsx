import { render } from "preact";
import { comeBack } from "../lib/door";
import { takeFragment } from "../lib/fragment";
import { startInvitation } from "../lib/invitation";
import { startRouter } from "../lib/router";
import { followTabs, resume } from "../lib/session";
import "../styles/index.css";
import { App } from "./app";

const root = document.getElementById("app");
if (root) {
  const code = takeFragment("signin", location, history);
  startInvitation();
  startRouter();
  followTabs(resume);
  void (code ? comeBack(code) : resume());
  render(<App />, root);
}
