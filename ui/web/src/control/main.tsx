import { render } from "preact";
import { startInvitation } from "../lib/invitation";
import { startRouter } from "../lib/router";
import { resume } from "../lib/session";
import "../styles/index.css";
import { App } from "./app";

const root = document.getElementById("app");
if (root) {
  startInvitation();
  startRouter();
  void resume();
  render(<App />, root);
}
