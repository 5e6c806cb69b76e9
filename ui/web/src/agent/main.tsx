import { effect } from "@preact/signals";
import { render } from "preact";
import { navigate, path, startRouter } from "../lib/router";
import { followTabs, standing } from "../lib/session";
import "../styles/index.css";
import { App } from "./app";
import { HOME } from "./pages";
import { seal, watchSeal } from "./seal";
import { resume, watchPresence } from "./session";

const root = document.getElementById("app");
if (root) {
  startRouter();
  effect(() => {
    if (path.value === "/") navigate(HOME, { replace: true });
  });
  watchPresence();
  followTabs(resume);
  watchSeal();
  effect(() => {
    // Asked once it is known that the vault is open, and again when it was sealed in between.
    if (seal.value?.sealed === false && standing.peek().state !== "in") void resume();
  });
  render(<App />, root);
}
