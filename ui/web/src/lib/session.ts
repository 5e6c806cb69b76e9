import { computed, effect, signal } from "@preact/signals";
import { ApiError, asApiError, get, put, remove, signedOut } from "./api";
import { navigate, path, query, setQuery } from "./router";
import { dropSessionKey, holdSessionKey, sessionKey, watchSessionKey } from "./session-key";
import type { Role } from "./types";

/** An organization that one belongs to, and as what. */
export interface Membership {
  id: string;
  title: string;
  role: Role;
}

/** Who is signed in. A super-admin may do everything in every organization. */
export interface Me {
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
export type Standing =
  | { state: "unknown" }
  | { state: "out"; ended?: boolean }
  | { state: "in"; me: Me }
  | { state: "error"; error: ApiError };

export const standing = signal<Standing>({ state: "unknown" });

/** Who is signed in, null for nobody. */
export const me = computed(() => (standing.value.state === "in" ? standing.value.me : null));

/** The organization that is looked at: what one chose (`?org=`), or one's own. */
export const organization = computed(
  () => query.value.get("org") || (me.value?.organization ?? ""),
);

/** Where a page of one thing is left for, when another organization is chosen. */
const LISTS: Record<string, string> = { agents: "/", policies: "/policies" };

const RANKS: Role[] = ["viewer", "operator", "admin", "owner"];

/** Whether one's role in this organization is enough. The server decides: this only hides. */
export function may(role: Role): boolean {
  if (me.value?.super_admin) return true;
  const mine = me.value?.organizations.find(({ id }) => id === organization.value);
  return !!mine && RANKS.indexOf(mine.role) >= RANKS.indexOf(role);
}

/**
 * Look at another organization, on the same page: a super-admin by the address, others by a session
 * of their own there. Throws `ApiError`.
 */
export async function chooseOrganization(org: string): Promise<void> {
  const mine = me.peek();
  const list = LISTS[path.peek().split("/")[1] ?? ""];
  if (list && path.peek().split("/")[2]) navigate(within(list)); // the other one has no such thing
  if (mine?.super_admin) return setQuery({ org: org === mine.organization ? "" : org });
  const made = await put<{ session_key: string }>("sessions/current/organization", {
    organization: org,
  });
  holdSessionKey(made.session_key);
  standing.value = { state: "unknown" }; // the feed of the session that ended closes before it is cut
  await resume();
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

/** Ask the server who is signed in. Without a session key it is nobody: nothing is asked. */
export async function resume(): Promise<void> {
  if (!sessionKey()) return leave();
  try {
    standing.value = { state: "in", me: await get<Me>("sessions/current") };
  } catch (error) {
    const told = asApiError(error);
    if (told.status === 401) leave();
    else standing.value = { state: "error", error: told };
  }
}

/** Another tab has signed in or out, and so has this one. Once, at the start. */
export function followTabs(again: () => Promise<void>): void {
  watchSessionKey(() => {
    standing.value = sessionKey() ? { state: "unknown" } : { state: "out" };
    if (sessionKey()) void again();
  });
}

/** Whether the session is still one: if not, the answer says so and the door is shown. */
export async function doubt(): Promise<void> {
  try {
    await get<Me>("sessions/current");
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
  leave();
}

/** The session is over: back to the door, which says so if it `ended` by itself. */
export function leave({ ended = false } = {}): void {
  dropSessionKey();
  standing.value = { state: "out", ended };
}

/** Its time is up, or somebody ended it from elsewhere. */
export function expire(): void {
  leave({ ended: true });
}

effect(() => {
  if (signedOut.value && standing.peek().state === "in") expire();
});
