import { Outlet } from "../parts/outlet";
import { type Group, Shell } from "../parts/shell";
import { pages } from "./pages";

/** The agent's own interface: the same shell and parts as the dashboard's. */
export function App() {
  const entries = pages.map(({ path, title, icon }) => ({ href: path, title, icon }));
  const groups: Group[] = [{ title: "This agent", entries }];
  return (
    <Shell groups={groups}>
      <Outlet pages={pages} />
    </Shell>
  );
}
