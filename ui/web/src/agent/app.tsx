import { AppShell, type NavGroup } from "../components/app-shell";
import { IconButton } from "../components/button";
import { Outlet } from "../components/outlet";
import { ErrorState, Loading, Notice } from "../components/states";
import { showError } from "../components/toasts";
import { signInState, signOut } from "../lib/session";
import { NAV_GROUPS, routes } from "./routes";
import { refreshSealStatus, sealStatus } from "./seal-status";
import { Sealed } from "./sealed";
import { restoreSession, session } from "./session";
import { SignIn } from "./sign-in";

/** The agent's dashboard: the unseal page, the sign-in page, or the page of the address. */
export function App() {
  const now = signInState.value;
  const vault = sealStatus.value;
  if (vault?.sealed) return <Sealed now={vault} />;
  if (now.state === "unknown") return <Loading label="Loading" />;
  if (now.state === "error") return <ErrorState error={now.error} onRetry={retry} />;
  if (now.state === "out") return <SignIn />;
  return (
    <AppShell groups={groups} footer={<SignedInUser />}>
      {vault?.refusing && (
        <Notice tone="bad">
          This agent refuses all requests: {vault.refusing}. Free disk space there; the agent then
          resumes by itself.
        </Notice>
      )}
      <Outlet pages={routes} />
    </AppShell>
  );
}

const groups: NavGroup[] = NAV_GROUPS.map(title => ({
  title,
  entries: routes.flatMap(({ group, path, title: name, icon }) =>
    group === title && icon ? [{ href: path, title: name, icon }] : [],
  ),
}));

function retry(): void {
  void refreshSealStatus();
  void restoreSession();
}

function SignedInUser() {
  const user = session.value;
  return (
    <>
      <span class="who" title={user?.name}>
        {user?.name}
        <br />
        <span class="muted">{user?.root ? "root" : user?.policies.join(", ")}</span>
      </span>
      <IconButton icon="leave" label="Sign out" onClick={() => signOut().catch(showError)} />
    </>
  );
}
