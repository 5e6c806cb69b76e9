import { signOut, standing } from "../lib/session";
import { IconButton } from "../parts/button";
import { Outlet } from "../parts/outlet";
import { type Group, Shell } from "../parts/shell";
import { Failure, Loading, Notice } from "../parts/states";
import { toastError } from "../parts/toasts";
import { Door } from "./door";
import { GROUPS, pages } from "./pages";
import { lookAtSeal, seal } from "./seal";
import { Sealed } from "./sealed";
import { resume, session } from "./session";

/** The agent's own interface: sealed, the door, or the shell around the page of the address. */
export function App() {
  const now = standing.value;
  const vault = seal.value;
  if (vault?.sealed) return <Sealed now={vault} />;
  if (now.state === "unknown") return <Loading what="Opening" />;
  if (now.state === "error") return <Failure error={now.error} retry={again} />;
  if (now.state === "out") return <Door />;
  return (
    <Shell groups={groups} foot={<Who />}>
      {vault?.refusing && (
        <Notice tone="bad">
          This agent refuses every request: {vault.refusing}. Free space there; it goes on by
          itself.
        </Notice>
      )}
      <Outlet pages={pages} />
    </Shell>
  );
}

const groups: Group[] = GROUPS.map(title => ({
  title,
  entries: pages.flatMap(({ group, path, title: name, icon }) =>
    group === title && icon ? [{ href: path, title: name, icon }] : [],
  ),
}));

function again(): void {
  void lookAtSeal();
  void resume();
}

function Who() {
  const mine = session.value;
  return (
    <>
      <span class="who" title={mine?.name}>
        {mine?.name}
        <br />
        <span class="muted">{mine?.root ? "root" : mine?.policies.join(", ")}</span>
      </span>
      <IconButton icon="leave" label="Sign out" onClick={() => signOut().catch(toastError)} />
    </>
  );
}
