import { render } from "preact";
import { startRouter } from "../lib/router";
import "../styles/index.css";
import { App } from "./app";

const root = document.getElementById("app");
if (root) {
  startRouter();
  render(<App />, root);
}
