import { computed, effect, signal } from "@preact/signals";
import { ApiError, asApiError, get, put, remove, unauthorizedCount } from "./api";
import type { Role } from "./api-types";
import { navigate, path, query, setQuery } from "./router";
import { clearSessionKey, onSessionKeyChange, sessionKey, setSessionKey } from "./session-key";

/** A membership of the signed-in user. */
export interface Membership {
  id: string;
  title: string;
  role: Role;
}

/** The signed-in user. Super-admins have all permissions in every organization. */
export interface CurrentUser {
  /** `organization` is the current one; `home` has the account. */
  organization: string;
  home: string;
  name: string;
  role: Role;
  super_admin: boolean;
  second_factor: boolean;
  /** Users without password and second factor confirm their identity with the provider. */
  password: boolean;
  organizations: Membership[];
}

/**
 * `unknown`: not loaded yet. `error`: the server could not answer. `ended`: the session ended
 * without a sign-out.
 */
export type SignInState =
  | { state: "unknown" }
  | { state: "out"; ended?: boolean }
  | { state: "in"; me: CurrentUser }
  | { state: "error"; error: ApiError };

export const signInState = signal<SignInState>({ state: "unknown" });

/** The signed-in user, or null. */
export const currentUser = computed(() =>
  signInState.value.state === "in" ? signInState.value.me : null,
);

/** The shown organization: the query parameter `org`, or the user's current one. */
export const organization = computed(
  () => query.value.get("org") || (currentUser.value?.organization ?? ""),
);

/** Pages to go to when the organization changes, instead of the page of one agent or policy. */
const LIST_PAGES: Record<string, string> = { agents: "/", policies: "/policies" };

const ROLES: Role[] = ["viewer", "operator", "admin", "owner"];

/** Whether the role in the shown organization suffices. Only hides controls; the server decides. */
export function hasRole(role: Role): boolean {
  if (currentUser.value?.super_admin) return true;
  const user = currentUser.value?.organizations.find(({ id }) => id === organization.value);
  return !!user && ROLES.indexOf(user.role) >= ROLES.indexOf(role);
}

/**
 * Show another organization. Super-admins change the address, others get a new session. Throws
 * `ApiError`.
 */
export async function switchOrganization(org: string): Promise<void> {
  const user = currentUser.peek();
  const list = LIST_PAGES[path.peek().split("/")[1] ?? ""];
  if (list && path.peek().split("/")[2]) navigate(inOrganization(list)); // it does not exist in the other organization
  if (user?.super_admin) return setQuery({ org: org === user.organization ? "" : org });
  const created = await put<{ session_key: string }>("sessions/current/organization", {
    organization: org,
  });
  setSessionKey(created.session_key);
  signInState.value = { state: "unknown" }; // the old session's feed closes before it is cut off
  await restoreSession();
}

/** An internal address that keeps the query parameter `org`. */
export function inOrganization(path: string): string {
  const org = query.value.get("org");
  return org ? `${path}${path.includes("?") ? "&" : "?"}org=${encodeURIComponent(org)}` : path;
}

/** An API path in the shown organization: `organizationPath("agents")`. */
export function organizationPath(path: string): string {
  return `organizations/${encodeURIComponent(organization.value)}/${path}`;
}

/**
 * Load the signed-in user. Without a session key nobody is signed in. `prepare` runs before pages
 * are shown.
 */
export async function restoreSession(
  prepare?: (user: CurrentUser) => Promise<void>,
): Promise<void> {
  if (!sessionKey()) return endLocalSession();
  try {
    const me = await get<CurrentUser>("sessions/current");
    await prepare?.(me);
    signInState.value = { state: "in", me };
  } catch (error) {
    const text = asApiError(error);
    if (text.status === 401) endLocalSession();
    else signInState.value = { state: "error", error: text };
  }
}

/** Follow other tabs that sign in or out. Call once at startup. */
export function syncTabs(again: () => Promise<void>): void {
  onSessionKeyChange(() => {
    signInState.value = sessionKey() ? { state: "unknown" } : { state: "out" };
    if (sessionKey()) void again();
  });
}

/** Check that the session is still valid. An ended one leads to the sign-in page. */
export async function checkSession(): Promise<void> {
  try {
    await get<CurrentUser>("sessions/current");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error; // status 401 was counted by apiRequest
  }
}

/** End the session here and on the server. Throws `ApiError`. */
export async function signOut(): Promise<void> {
  try {
    await remove("sessions/current");
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401)) throw error;
  }
  endLocalSession();
}

/** Forget the session here. `ended` tells the sign-in page that it ended by itself. */
export function endLocalSession({ ended = false } = {}): void {
  clearSessionKey();
  signInState.value = { state: "out", ended };
}

/** The session timed out or was ended elsewhere. */
export function expireSession(): void {
  endLocalSession({ ended: true });
}

effect(() => {
  if (unauthorizedCount.value && signInState.peek().state === "in") expireSession();
});
