import { computed, effect, signal } from "@preact/signals";
import { ApiError, asApiError, call, get, holdCsrf, remove, signedOut } from "./api";
import { query, setQuery } from "./router";
import type { Role } from "./types";

/** An organization that one belongs to, and as what. */
export interface Membership {
  id: string;
  title: string;
  role: Role;
}

/** Who is signed in. A super-admin may do everything in every organization. */
export interface Me {
  organization: string;
  name: string;
  role: Role;
  super_admin: boolean;
  organizations: Membership[];
}

interface Current extends Me {
  csrf: string;
}

/** What a person types to come in; `code` only when the account has a second step. */
export interface Credentials {
  organization: string;
  name: string;
  password: string;
  code?: string;
}

/** `unknown`: not asked yet, nothing is shown. `error`: the server could not say. */
export type Standing =
  | { state: "unknown" }
  | { state: "out" }
  | { state: "in"; me: Me }
  | { state: "error"; error: ApiError };

export const standing = signal<Standing>({ state: "unknown" });

/** Who is signed in, null for nobody. */
export const me = computed(() => (standing.value.state === "in" ? standing.value.me : null));

/** The organization that is looked at: what one chose (`?org=`), or one's own. */
export const organization = computed(
  () => query.value.get("org") || (me.value?.organization ?? ""),
);

const RANKS: Role[] = ["viewer", "operator", "admin", "owner"];

/** Whether one's role in this organization is enough. The server decides: this only hides. */
export function may(role: Role): boolean {
  if (me.value?.super_admin) return true;
  const mine = me.value?.organizations.find(({ id }) => id === organization.value);
  return !!mine && RANKS.indexOf(mine.role) >= RANKS.indexOf(role);
}

/** Look at another organization, on the same page. */
export function chooseOrganization(org: string): void {
  setQuery({ org: org === me.peek()?.organization ? "" : org });
}

/** An address inside the program that keeps the chosen organization. */
export function within(path: string): string {
  const org = query.value.get("org");
  return org ? `${path}${path.includes("?") ? "&" : "?"}org=${encodeURIComponent(org)}` : path;
}

/** Below `/api/v1/`, of the organization that is looked at: `of("agents")`. */
export function ofOrganization(path: string): string {
  return `organizations/${encodeURIComponent(organization.value)}/${path}`;
}

/** Ask the server who is signed in by the cookie that the browser holds. */
export async function resume(): Promise<void> {
  try {
    enter(await get<Current>("sessions/current"));
  } catch (error) {
    const told = asApiError(error);
    standing.value = told.status === 401 ? { state: "out" } : { state: "error", error: told };
  }
}

/** Whether the session is still one: if not, the answer says so and the door is shown. */
export async function doubt(): Promise<void> {
  try {
    await get<Current>("sessions/current");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error; // 401 was counted where it came in
  }
}

/** Sign in. Throws `ApiError`. */
export async function signIn(credentials: Credentials): Promise<void> {
  const headers = { "X-Freehold-Session": "cookie" };
  await call("POST", "sessions", { body: credentials, headers });
  enter(await get<Current>("sessions/current"));
}

/** End the session here and on the server. Throws `ApiError` when the server does not hear. */
export async function signOut(): Promise<void> {
  try {
    await remove("sessions/current");
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401)) throw error;
  }
  leave();
}

/** The session is over: back to the door. */
export function leave(): void {
  holdCsrf("");
  standing.value = { state: "out" };
}

function enter(current: Current): void {
  holdCsrf(current.csrf);
  standing.value = { state: "in", me: current };
}

effect(() => {
  if (signedOut.value && standing.peek().state === "in") leave();
});
