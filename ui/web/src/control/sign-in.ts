import { signal } from "@preact/signals";
import { ApiError, apiRequest, asApiError } from "../lib/api";
import { setQuery } from "../lib/router";
import { endLocalSession, restoreSession } from "../lib/session";
import { setSessionKey } from "../lib/session-key";

/** The steps of signing in. Each throws `ApiError`; cookie and session key come with the last one. */

const VERIFIER_KEY = "freehold-login-verifier"; // of a login that is on its way through a provider

export interface Credentials {
  organization: string;
  name: string;
  password: string;
}

/** Whether one is in, or what is asked for next: `challenge` goes with the answer. */
export interface SignInResult {
  state: "open" | "second-factor" | "enrolment";
  challenge: string;
  session_key: string;
}

/** What is asked for next, after a login at an identity provider; else null. */
export const providerSignIn = signal<SignInResult | null>(null);

/** What an authenticator app takes: typed by hand, as a link, or as a picture (`data:`). */
export interface AuthenticatorSetup {
  secret: string;
  uri: string;
  picture: string;
}

export const signIn = (credentials: Credentials) => openSession("sessions", credentials);

export const answerSecondFactor = (challenge: string, code: string) =>
  openSession("second-factor/answer", { challenge, code });

/** The organization wants a second factor and there is none yet: begin one. */
export const startSecondFactorSetup = (challenge: string) =>
  postSignIn<AuthenticatorSetup>("second-factor/enrolment", { challenge });

/** Its first code. One is signed in; the recovery codes are shown this once. */
export async function confirmSecondFactorSetup(challenge: string, code: string): Promise<string[]> {
  const text = await postSignIn<{ session: SignInResult; recovery_codes: string[] }>(
    "second-factor/enrolment/confirm",
    { challenge, code },
  );
  setSessionKey(text.session.session_key);
  return text.recovery_codes;
}

/** On to the organization's identity provider; this tab alone can collect what comes of it. */
export async function startProviderSignIn(organization: string, invitation = ""): Promise<void> {
  const begun = await postSignIn<{ url: string; verifier: string }>("oidc/begin", {
    organization,
    invitation,
  });
  sessionStorage.setItem(VERIFIER_KEY, begun.verifier);
  location.assign(begun.url);
}

/** Back from the provider with this code: signed in, or one more step, or the address says why not. */
export async function finishProviderSignIn(code: string): Promise<void> {
  try {
    const opened = await exchangeCode(code);
    if (opened.state === "open") return restoreSession();
    providerSignIn.value = opened;
    endLocalSession();
  } catch (error) {
    setQuery({ signin: asApiError(error).code });
    await restoreSession();
  }
}

async function exchangeCode(code: string): Promise<SignInResult> {
  const verifier = sessionStorage.getItem(VERIFIER_KEY);
  sessionStorage.removeItem(VERIFIER_KEY);
  if (!verifier)
    throw new ApiError(0, "oidc_state", "this sign-in was not started in this tab: start again");
  return openSession("oidc/session", { code, verifier });
}

/** What a link is for. */
export interface Invitation {
  organization: string;
  title: string;
  email: string;
  role: string;
  expires_at: string;
}

export const getInvitation = (secret: string) =>
  postSignIn<Invitation>("invitations/look", { secret });

/** A new account by a link. One is signed in, or has to set up a second factor first. */
export const acceptInvitation = (secret: string, name: string, password: string) =>
  openSession("invitations/accept", { secret, name, password });

async function openSession(path: string, body: object): Promise<SignInResult> {
  const opened = await postSignIn<SignInResult>(path, body);
  if (opened.session_key) setSessionKey(opened.session_key);
  return opened;
}

function postSignIn<T>(path: string, body: object): Promise<T> {
  return apiRequest<T>("POST", path, { body, headers: { "X-Freehold-Session": "cookie" } });
}
