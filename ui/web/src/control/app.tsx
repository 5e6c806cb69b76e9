import { AppShell, type NavGroup } from "../components/app-shell";
import { IconButton } from "../components/button";
import { Select } from "../components/field";
import { Outlet } from "../components/outlet";
import { ErrorState, Loading } from "../components/states";
import { showError } from "../components/toasts";
import type { Organization } from "../lib/api-types";
import { useGet } from "../lib/hooks";
import { CONTROL_LIMITS } from "../lib/limits";
import {
  currentUser,
  hasRole,
  inOrganization,
  organization,
  restoreSession,
  signInState,
  signOut,
  switchOrganization,
} from "../lib/session";
import SignIn from "./pages/sign-in";
import { JoinOrganization } from "./pages/sign-in/join-organization";
import { routes } from "./routes";
import { StepUpDialog } from "./step-up-dialog";
import "./app.css";

/** The control plane's dashboard: the sign-in page, or the page of the address. */
export function App() {
  const now = signInState.value;
  if (now.state === "unknown") return <Loading label="Loading" />;
  if (now.state === "error")
    return <ErrorState error={now.error} onRetry={() => void restoreSession()} />;
  if (now.state === "out") return <SignIn />;
  return (
    <AppShell
      groups={navGroups()}
      organizationPicker={<OrganizationPicker />}
      footer={<SignedInUser />}
    >
      <Outlet key={organization.value} pages={permittedRoutes()} />
      <JoinOrganization />
      <StepUpDialog />
    </AppShell>
  );
}

function permittedRoutes() {
  return routes.filter(({ superAdminOnly }) => !superAdminOnly || currentUser.value?.super_admin);
}

/** The navigation entries that the role permits. */
function navGroups(): NavGroup[] {
  const result = new Map<string, NavGroup["entries"][number][]>();
  for (const { group, icon, childPath, path, role, title } of permittedRoutes()) {
    if (!group || !icon || (role && !hasRole(role))) continue;
    const entries = result.get(group) ?? [];
    entries.push({ href: inOrganization(path), title, icon, ...(childPath ? { childPath } : {}) });
    result.set(group, entries);
  }
  return [...result].map(([title, entries]) => ({ title, entries }));
}

/** Selects the organization. Super-admins choose among all, others among their memberships. */
function OrganizationPicker() {
  const user = currentUser.value;
  const all = useGet<Organization[]>(user?.super_admin ? "organizations" : null, {
    limit: CONTROL_LIMITS.organizations,
  });
  const choices = all.data ?? user?.organizations ?? [];
  if (choices.length < 2) return <p class="organization">{organization.value}</p>;
  return (
    <div class="organization">
      <Select
        aria-label="Organization"
        value={organization.value}
        onChange={org => void switchOrganization(org).catch(showError)}
        options={choices.map(({ id }) => [id, id] as const)}
      />
    </div>
  );
}

function SignedInUser() {
  const user = currentUser.value;
  return (
    <>
      <a
        class="who"
        href={inOrganization("/settings")}
        title={`${user?.home}/${user?.name}: settings`}
      >
        {user?.name}
        <br />
        <span class="muted">{user?.super_admin ? "super-admin" : user?.role}</span>
      </a>
      <IconButton icon="leave" label="Sign out" onClick={() => signOut().catch(showError)} />
    </>
  );
}
