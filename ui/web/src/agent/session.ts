import { signal } from "@preact/signals";
import { ApiError, asApiError, get, post } from "../lib/api";
import { expire, standing } from "../lib/session";
import { holdSessionKey, sessionKey } from "../lib/session-key";
import type { OpenedSession, Session } from "./wire";

const TICK = 5000; // milliseconds
const SHARE = 0.25; // of the idle time: a session is renewed no more often

/** Who is signed in to this agent. */
export const session = signal<Session | null>(null);

/** Unix milliseconds of this machine: when nobody's presence ends the session. */
let ends = 0;
let renewed = 0;
let acted = false;

/** Turn a token or an API key into a session. Throws `ApiError`. */
export async function signIn(credential: string): Promise<void> {
  const headers = { Authorization: `Bearer ${credential}` };
  const made = await post<OpenedSession>("sessions", undefined, { headers });
  holdSessionKey(made.session_key);
  enter(made);
}

/** Is there one already? Without a session key there is none, and nothing is asked. */
export async function resume(): Promise<void> {
  if (!sessionKey()) {
    // asked at each look at the seal: what the door says stays
    if (standing.peek().state !== "out") standing.value = { state: "out" };
    return;
  }
  try {
    enter(await get<Session>("sessions/current"));
  } catch (thrown) {
    const error = asApiError(thrown);
    if (error.status === 401) expire();
    else standing.value = { state: "error", error };
  }
}

/** From now on: renew while a person is there, and leave when none is. Once, at the start. */
export function watchPresence(): void {
  for (const kind of ["pointerdown", "keydown"])
    addEventListener(kind, () => (acted = true), { passive: true, capture: true });
  setInterval(() => void tick(), TICK);
  standing.subscribe(({ state }) => {
    if (state === "out") session.value = null;
  });
}

async function tick(): Promise<void> {
  const mine = session.peek();
  if (!mine) return;
  if (Date.now() >= ends) return expire();
  if (!acted || Date.now() - renewed < mine.idle_seconds * 1000 * SHARE) return;
  acted = false;
  try {
    await renew();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error; // the next action tries again
  }
}

async function renew(): Promise<void> {
  enter(await post<Session>("sessions/current/renew"));
}

function enter(mine: Session): void {
  session.value = mine;
  ends = Date.now() + mine.left_seconds * 1000;
  renewed = ends - mine.idle_seconds * 1000;
  if (standing.peek().state !== "in") standing.value = { state: "in", me: someone(mine.name) };
}

/** In the shape that the parts which both programs share know. */
function someone(name: string) {
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
