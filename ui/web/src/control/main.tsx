import { render } from "preact";
import { startRouter } from "../lib/router";
import { resume } from "../lib/session";
import "../styles/index.css";
import { App } from "./app";

const root = document.getElementById("app");
if (root) {
  startRouter();
  void resume();
  render(<App />, root);
}
