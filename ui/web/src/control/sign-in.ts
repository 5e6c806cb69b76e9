import { signal } from "@preact/signals";
import { ApiError, apiRequest, asApiError, get } from "../lib/api";
import type { Organization } from "../lib/api-types";
import { query, setQuery } from "../lib/router";
import { type CurrentUser, endLocalSession, restoreSession } from "../lib/session";
import { setSessionKey } from "../lib/session-key";

/** The steps of signing in. Each throws `ApiError`. The last step sets cookie and session key. */

const VERIFIER_KEY = "freehold-login-verifier"; // of a sign-in that is waiting for the identity provider

export interface Credentials {
  organization: string;
  name: string;
  password: string;
}

/** Signed in, or the next step. `challenge` goes with its answer. */
export interface SignInResult {
  state: "open" | "second-factor" | "enrolment";
  challenge: string;
  session_key: string;
}

/** The next step after an identity provider's sign-in; else null. */
export const providerSignIn = signal<SignInResult | null>(null);

/** What an authenticator app reads: key, link, or QR code (a `data:` URL). */
export interface AuthenticatorSetup {
  secret: string;
  uri: string;
  picture: string;
}

export const signIn = (credentials: Credentials) => openSession("sessions", credentials);

export const answerSecondFactor = (challenge: string, code: string) =>
  openSession("second-factor/answer", { challenge, code });

/** Start the setup of a second factor that the organization requires. */
export const startSecondFactorSetup = (challenge: string) =>
  postSignIn<AuthenticatorSetup>("second-factor/enrolment", { challenge });

/** Confirm the setup with the first code. Signs in and returns the recovery codes. */
export async function confirmSecondFactorSetup(challenge: string, code: string): Promise<string[]> {
  const text = await postSignIn<{ session: SignInResult; recovery_codes: string[] }>(
    "second-factor/enrolment/confirm",
    { challenge, code },
  );
  setSessionKey(text.session.session_key);
  return text.recovery_codes;
}

/** Redirect to the identity provider. Only this tab can finish the sign-in. */
export async function startProviderSignIn(organization: string, invitation = ""): Promise<void> {
  const setup = await postSignIn<{ url: string; verifier: string }>("oidc/begin", {
    organization,
    invitation,
  });
  sessionStorage.setItem(VERIFIER_KEY, setup.verifier);
  location.assign(setup.url);
}

/** Finish a sign-in with the provider's code. On failure the address has the error code. */
export async function finishProviderSignIn(code: string): Promise<void> {
  try {
    const opened = await exchangeCode(code);
    if (opened.state === "open") return finishSignIn();
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

/** Show the pages after a sign-in. */
export function finishSignIn(): Promise<void> {
  return restoreSession(showOnlyOrganization);
}

/** Super-admins of a single organization go there: their own has no agents. */
async function showOnlyOrganization(user: CurrentUser): Promise<void> {
  if (!user.super_admin || query.peek().get("org")) return;
  const all = await get<Organization[]>("organizations", { query: { limit: 3 } });
  const others = all.filter(({ id }) => id !== user.organization);
  if (others.length === 1 && others[0]) setQuery({ org: others[0].id });
}

export interface Invitation {
  organization: string;
  title: string;
  email: string;
  role: string;
  expires_at: string;
}

export const getInvitation = (secret: string) =>
  postSignIn<Invitation>("invitations/look", { secret });

/** Create an account by invitation. Signs in, or requires the setup of a second factor. */
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
