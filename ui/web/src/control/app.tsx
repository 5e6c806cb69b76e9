import { useGet } from "../lib/hooks";
import { CONTROL_LIMITS } from "../lib/limits";
import {
  chooseOrganization,
  may,
  me,
  organization,
  resume,
  signOut,
  standing,
  within,
} from "../lib/session";
import type { Organization } from "../lib/types";
import Login from "../pages/login";
import { Joining } from "../pages/login/joining";
import { IconButton } from "../parts/button";
import { Select } from "../parts/field";
import { Outlet } from "../parts/outlet";
import { Proof } from "../parts/proof";
import { type Group, Shell } from "../parts/shell";
import { Failure, Loading } from "../parts/states";
import { toastError } from "../parts/toasts";
import { pages } from "./pages";
import "./app.css";

/** The dashboard: the door, or the shell around the page that the address names. */
export function App() {
  const now = standing.value;
  if (now.state === "unknown") return <Loading what="Opening" />;
  if (now.state === "error") return <Failure error={now.error} retry={resume} />;
  if (now.state === "out") return <Login />;
  return (
    <Shell groups={groups()} choice={<OrganizationChoice />} foot={<Who />}>
      <Outlet key={organization.value} pages={reachable()} />
      <Joining />
      <Proof />
    </Shell>
  );
}

/** Those of the platform are there for super-admins alone. */
function reachable() {
  return pages.filter(({ platform }) => !platform || me.value?.super_admin);
}

/** The navigation: pages with a group, as far as the role goes. */
function groups(): Group[] {
  const found = new Map<string, Group["entries"][number][]>();
  for (const { group, icon, over, path, role, title } of reachable()) {
    if (!group || !icon || (role && !may(role))) continue;
    const entries = found.get(group) ?? [];
    entries.push({ href: within(path), title, icon, ...(over ? { over } : {}) });
    found.set(group, entries);
  }
  return [...found].map(([title, entries]) => ({ title, entries }));
}

/** Whose fleet is looked at; a super-admin chooses among all, others among their own. */
function OrganizationChoice() {
  const mine = me.value;
  const all = useGet<Organization[]>(mine?.super_admin ? "organizations" : null, {
    limit: CONTROL_LIMITS.organizations,
  });
  const choices = all.data ?? mine?.organizations ?? [];
  if (choices.length < 2) return <p class="organization">{organization.value}</p>;
  return (
    <div class="organization">
      <Select
        aria-label="Organization"
        value={organization.value}
        change={org => void chooseOrganization(org).catch(toastError)}
        options={choices.map(({ id }) => [id, id] as const)}
      />
    </div>
  );
}

function Who() {
  const mine = me.value;
  return (
    <>
      <a class="who" href={within("/settings")} title={`${mine?.home}/${mine?.name}: settings`}>
        {mine?.name}
        <br />
        <span class="muted">{mine?.super_admin ? "super-admin" : mine?.role}</span>
      </a>
      <IconButton icon="leave" label="Sign out" onClick={() => signOut().catch(toastError)} />
    </>
  );
}
