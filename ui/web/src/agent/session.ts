import { signal } from "@preact/signals";
import { ApiError, asApiError, get, post } from "../lib/api";
import { expireSession, signInState } from "../lib/session";
import { sessionKey, setSessionKey } from "../lib/session-key";
import type { NewSession, Session } from "./api-types";

const CHECK_INTERVAL = 5000; // milliseconds
const RENEW_AFTER = 0.25; // of the idle timeout; limits how often a session is renewed

/** The session of the signed-in user. */
export const session = signal<Session | null>(null);

/** Unix milliseconds of this machine: when the session expires without activity. */
let ends = 0;
let renewed = 0;
let acted = false;

/** Open a session with a token or an API key. Throws `ApiError`. */
export const signIn = (credential: string) => openSession(credential);

/** With `exchange` it takes the place of the token, which a login has made. Throws `ApiError`. */
export async function openSession(credential: string, body?: { exchange: boolean }): Promise<void> {
  const headers = { Authorization: `Bearer ${credential}` };
  const created = await post<NewSession>("sessions", body, { headers });
  setSessionKey(created.session_key);
  setSession(created);
}

/** Restore the session of the stored session key, if there is one. */
export async function restoreSession(): Promise<void> {
  if (!sessionKey()) {
    // called with each poll of the seal status: keep the reason for the last sign-out
    if (signInState.peek().state !== "out") signInState.value = { state: "out" };
    return;
  }
  try {
    setSession(await get<Session>("sessions/current"));
  } catch (thrown) {
    const error = asApiError(thrown);
    if (error.status === 401) expireSession();
    else signInState.value = { state: "error", error };
  }
}

/** Renew the session on activity, and expire it without. Call once at startup. */
export function renewOnActivity(): void {
  for (const kind of ["pointerdown", "keydown"])
    addEventListener(kind, () => (acted = true), { passive: true, capture: true });
  setInterval(() => void checkIdle(), CHECK_INTERVAL);
  signInState.subscribe(({ state }) => {
    if (state === "out") session.value = null;
  });
}

async function checkIdle(): Promise<void> {
  const user = session.peek();
  if (!user) return;
  if (Date.now() >= ends) return expireSession();
  if (!acted || Date.now() - renewed < user.idle_seconds * 1000 * RENEW_AFTER) return;
  acted = false;
  try {
    await renew();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error; // the next activity tries again
  }
}

async function renew(): Promise<void> {
  setSession(await post<Session>("sessions/current/renew"));
}

function setSession(mine: Session): void {
  session.value = mine;
  ends = Date.now() + mine.left_seconds * 1000;
  renewed = ends - mine.idle_seconds * 1000;
  if (signInState.peek().state !== "in")
    signInState.value = { state: "in", me: sharedUser(mine.name) };
}

/** The user in the shape that the shared components expect. */
function sharedUser(name: string) {
  return {
    organization: "",
    home: "",
    name,
    role: "viewer" as const,
    super_admin: false,
    second_factor: false,
    password: true,
    organizations: [],
  };
}
