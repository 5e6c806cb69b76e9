import { signal } from "@preact/signals";
import { ApiError, asApiError, call } from "./api";
import { setQuery } from "./router";
import { leave, resume } from "./session";
import { holdSessionKey } from "./session-key";

/** The steps of signing in. Each throws `ApiError`; cookie and session key come with the last one. */

const VERIFIER = "freehold-login-verifier"; // of a login that is on its way through a provider

export interface Credentials {
  organization: string;
  name: string;
  password: string;
}

/** Whether one is in, or what is asked for next: `challenge` goes with the answer. */
export interface Opened {
  state: "open" | "second-factor" | "enrolment";
  challenge: string;
  session_key: string;
}

/** What is asked for next, after a login at an identity provider; else null. */
export const returned = signal<Opened | null>(null);

/** What an authenticator app takes: typed by hand, as a link, or as a picture (`data:`). */
export interface Enrolment {
  secret: string;
  uri: string;
  picture: string;
}

export const signIn = (credentials: Credentials) => enter("sessions", credentials);

export const answer = (challenge: string, code: string) =>
  enter("second-factor/answer", { challenge, code });

/** The organization wants a second factor and there is none yet: begin one. */
export const beginEnrolment = (challenge: string) =>
  knock<Enrolment>("second-factor/enrolment", { challenge });

/** Its first code. One is signed in; the recovery codes are shown this once. */
export async function confirmEnrolment(challenge: string, code: string): Promise<string[]> {
  const told = await knock<{ session: Opened; recovery_codes: string[] }>(
    "second-factor/enrolment/confirm",
    { challenge, code },
  );
  holdSessionKey(told.session.session_key);
  return told.recovery_codes;
}

/** On to the organization's identity provider; this tab alone can collect what comes of it. */
export async function goToProvider(organization: string, invitation = ""): Promise<void> {
  const begun = await knock<{ url: string; verifier: string }>("oidc/begin", {
    organization,
    invitation,
  });
  sessionStorage.setItem(VERIFIER, begun.verifier);
  location.assign(begun.url);
}

/** Back from the provider with this code: signed in, or one more step, or the address says why not. */
export async function comeBack(code: string): Promise<void> {
  try {
    const opened = await collect(code);
    if (opened.state === "open") return resume();
    returned.value = opened;
    leave();
  } catch (error) {
    setQuery({ signin: asApiError(error).code });
    await resume();
  }
}

async function collect(code: string): Promise<Opened> {
  const verifier = sessionStorage.getItem(VERIFIER);
  sessionStorage.removeItem(VERIFIER);
  if (!verifier) throw new ApiError(0, "oidc_state", "this login was not begun in this tab");
  return enter("oidc/session", { code, verifier });
}

/** What a link is for. */
export interface Invitation {
  organization: string;
  title: string;
  email: string;
  role: string;
  expires_at: string;
}

export const lookAt = (secret: string) => knock<Invitation>("invitations/look", { secret });

/** A new account by a link. One is signed in, or has to set up a second factor first. */
export const accept = (secret: string, name: string, password: string) =>
  enter("invitations/accept", { secret, name, password });

async function enter(path: string, body: object): Promise<Opened> {
  const opened = await knock<Opened>(path, body);
  if (opened.session_key) holdSessionKey(opened.session_key);
  return opened;
}

function knock<T>(path: string, body: object): Promise<T> {
  return call<T>("POST", path, { body, headers: { "X-Freehold-Session": "cookie" } });
}
