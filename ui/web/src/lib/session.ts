import { computed, effect, signal } from "@preact/signals";
import { ApiError, asApiError, get, put, remove, unauthorizedCount } from "./api";
import type { Role } from "./api-types";
import { navigate, path, query, setQuery } from "./router";
import { clearSessionKey, onSessionKeyChange, sessionKey, setSessionKey } from "./session-key";

/** An organization that one belongs to, and as what. */
export interface Membership {
  id: string;
  title: string;
  role: Role;
}

/** Who is signed in. A super-admin may do everything in every organization. */
export interface CurrentUser {
  /** Where one acts; `home` is where one's account is. */
  organization: string;
  home: string;
  name: string;
  role: Role;
  super_admin: boolean;
  second_factor: boolean;
  /** Who has neither shows who they are at the identity provider. */
  password: boolean;
  organizations: Membership[];
}

/**
 * `unknown`: not asked yet, nothing is shown. `error`: the server could not say. `ended`: somebody was
 * signed in here, and did not ask to be out.
 */
export type SignInState =
  | { state: "unknown" }
  | { state: "out"; ended?: boolean }
  | { state: "in"; me: CurrentUser }
  | { state: "error"; error: ApiError };

export const signInState = signal<SignInState>({ state: "unknown" });

/** Who is signed in, null for nobody. */
export const currentUser = computed(() =>
  signInState.value.state === "in" ? signInState.value.me : null,
);

/** The organization that is looked at: what one chose (`?org=`), or one's own. */
export const organization = computed(
  () => query.value.get("org") || (currentUser.value?.organization ?? ""),
);

/** Where a page of one thing is left for, when another organization is chosen. */
const LIST_PAGES: Record<string, string> = { agents: "/", policies: "/policies" };

const ROLES: Role[] = ["viewer", "operator", "admin", "owner"];

/** Whether one's role in this organization is enough. The server decides: this only hides. */
export function hasRole(role: Role): boolean {
  if (currentUser.value?.super_admin) return true;
  const mine = currentUser.value?.organizations.find(({ id }) => id === organization.value);
  return !!mine && ROLES.indexOf(mine.role) >= ROLES.indexOf(role);
}

/**
 * Look at another organization, on the same page: a super-admin by the address, others by a session
 * of their own there. Throws `ApiError`.
 */
export async function switchOrganization(org: string): Promise<void> {
  const mine = currentUser.peek();
  const list = LIST_PAGES[path.peek().split("/")[1] ?? ""];
  if (list && path.peek().split("/")[2]) navigate(inOrganization(list)); // the other one has no such thing
  if (mine?.super_admin) return setQuery({ org: org === mine.organization ? "" : org });
  const made = await put<{ session_key: string }>("sessions/current/organization", {
    organization: org,
  });
  setSessionKey(made.session_key);
  signInState.value = { state: "unknown" }; // the feed of the session that ended closes before it is cut
  await restoreSession();
}

/** An address inside the program that keeps the chosen organization. */
export function inOrganization(path: string): string {
  const org = query.value.get("org");
  return org ? `${path}${path.includes("?") ? "&" : "?"}org=${encodeURIComponent(org)}` : path;
}

/** Below `/api/v1/`, of the organization that is looked at: `of("agents")`. */
export function organizationPath(path: string): string {
  return `organizations/${encodeURIComponent(organization.value)}/${path}`;
}

/** Ask the server who is signed in. Without a session key it is nobody: nothing is asked. */
export async function restoreSession(): Promise<void> {
  if (!sessionKey()) return endLocalSession();
  try {
    signInState.value = { state: "in", me: await get<CurrentUser>("sessions/current") };
  } catch (error) {
    const text = asApiError(error);
    if (text.status === 401) endLocalSession();
    else signInState.value = { state: "error", error: text };
  }
}

/** Another tab has signed in or out, and so has this one. Once, at the start. */
export function syncTabs(again: () => Promise<void>): void {
  onSessionKeyChange(() => {
    signInState.value = sessionKey() ? { state: "unknown" } : { state: "out" };
    if (sessionKey()) void again();
  });
}

/** Whether the session is still one: if not, the answer says so and the door is shown. */
export async function checkSession(): Promise<void> {
  try {
    await get<CurrentUser>("sessions/current");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error; // 401 was counted where it came in
  }
}

/** End the session here and on the server. Throws `ApiError` when the server does not hear. */
export async function signOut(): Promise<void> {
  try {
    await remove("sessions/current");
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401)) throw error;
  }
  endLocalSession();
}

/** The session is over: back to the door, which says so if it `ended` by itself. */
export function endLocalSession({ ended = false } = {}): void {
  clearSessionKey();
  signInState.value = { state: "out", ended };
}

/** Its time is up, or somebody ended it from elsewhere. */
export function expireSession(): void {
  endLocalSession({ ended: true });
}

effect(() => {
  if (unauthorizedCount.value && signInState.peek().state === "in") expireSession();
});
