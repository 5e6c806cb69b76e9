import { signal } from "@preact/signals";
import { ApiError, asApiError, fetchWithTimeout, post } from "../lib/api";
import { address, navigate } from "../lib/router";
import { isWaiting, type WaitingLogin } from "./second-factor";
import { openSession } from "./session";

/** Logins at the auth mounts of this agent. Their token becomes the browser's session at once. */

/** An auth mount that may be seen before a login. `path` ends with a slash. */
export interface LoginMount {
  path: string;
  type: string;
  description: string;
}

/** Where an identity provider sends the browser back to. */
export const CALLBACK = "/sign-in/callback";
const PENDING_KEY = "freehold-pending-login"; // of a login that is waiting for the provider
const PASSWORD_TYPES = ["userpass", "ldap"];
const PROVIDER_TYPES = ["oidc", "saml"];

type LoginAnswer = { token: string } | WaitingLogin;

/** What is kept in this tab while the browser is at the provider. */
interface PendingLogin {
  mount: string;
  type: string;
  secret: string;
  returnTo: string;
}

/** A login that came back from a provider: under way, or why it failed. */
export const providerLogin = signal<
  { state: "none" | "busy" } | { state: "failed"; error: ApiError }
>({ state: "none" });

/** A login that waits for its second factor. */
export const waitingLogin = signal<WaitingLogin | null>(null);

export const takesPassword = ({ type }: LoginMount) => PASSWORD_TYPES.includes(type);
export const takesProvider = ({ type }: LoginMount) => PROVIDER_TYPES.includes(type);

/** The mounts that the sign-in page can offer. None if the agent does not say. */
export async function listLoginMounts(): Promise<LoginMount[]> {
  try {
    const init = { method: "GET", headers: { Accept: "application/json" } };
    const { response, body } = await fetchWithTimeout("/v1/sys/internal/ui/mounts", init);
    if (!response.ok) return [];
    const found = JSON.parse(body).data.auth as Record<string, Omit<LoginMount, "path">>;
    return Object.entries(found)
      .map(([path, { type, description }]) => ({ path, type, description }))
      .filter(mount => takesPassword(mount) || takesProvider(mount));
  } catch {
    return []; // a token is offered anyway
  }
}

/** Log in with a name and a password. Throws `ApiError`. */
export async function logInByPassword(
  { path }: LoginMount,
  name: string,
  password: string,
): Promise<void> {
  const place = `auth/login/${segments(path)}login/${encodeURIComponent(name)}`;
  await completeLogin(await post<LoginAnswer>(place, { password }));
}

/** Go to the identity provider. Only this tab can finish the login. Throws `ApiError`. */
export async function startProviderLogin({ path, type }: LoginMount, role: string): Promise<void> {
  const secret = crypto.randomUUID() + crypto.randomUUID();
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  const bound =
    type === "saml" ? { client_challenge: await challenge(secret) } : { client_nonce: secret };
  const body = JSON.stringify({ role, redirect_uri: location.origin + CALLBACK, ...bound });
  const { response, body: text } = await fetchWithTimeout(
    `/v1/auth/${segments(path)}${type === "saml" ? "sso_service_url" : "oidc/auth_url"}`,
    { method: "POST", headers, body },
  );
  const url = response.ok ? providerUrl(text) : null;
  if (!url) throw startError(response.status, text);
  const pending: PendingLogin = { mount: path, type, secret, returnTo: address.peek() };
  sessionStorage.setItem(PENDING_KEY, JSON.stringify(pending));
  location.assign(url);
}

/** Finish a login with what the provider's address brought. Call once at startup. */
export async function finishProviderLogin(): Promise<void> {
  const here = new URL(location.href);
  if (here.pathname !== CALLBACK) return;
  const kept = sessionStorage.getItem(PENDING_KEY);
  sessionStorage.removeItem(PENDING_KEY);
  const pending = kept ? (JSON.parse(kept) as PendingLogin) : null;
  navigate(pending?.returnTo ?? "/", { replace: true }); // nobody reads the code in the address
  providerLogin.value = { state: "busy" };
  try {
    await exchangeCode(pending, here.searchParams);
    providerLogin.value = { state: "none" };
  } catch (thrown) {
    providerLogin.value = { state: "failed", error: asApiError(thrown) };
  }
}

async function exchangeCode(pending: PendingLogin | null, told: URLSearchParams): Promise<void> {
  const [state, code] = [told.get("state"), told.get("code")];
  if (!pending)
    throw new ApiError(0, "login_lost", "this tab has started no login: sign in again here");
  const place = `auth/login/${segments(pending.mount)}`;
  if (code && pending.type === "saml") {
    const body = { code, client_verifier: pending.secret };
    return completeLogin(await post<LoginAnswer>(`${place}login`, body));
  }
  if (!state || !code)
    throw new ApiError(0, "login_refused", "the identity provider refused the login: try again");
  const body = { state, code, client_nonce: pending.secret };
  await completeLogin(await post<LoginAnswer>(`${place}oidc/callback`, body));
}

/** SHA-256 in unpadded base64url. Throws `ApiError` where browsers have no cryptography. */
async function challenge(secret: string): Promise<string> {
  if (!crypto.subtle)
    throw new ApiError(0, "https_needed", "a SAML login needs HTTPS: open this page by https://");
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(secret));
  return btoa(String.fromCharCode(...new Uint8Array(digest)))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .replace(/=+$/, "");
}

/** Turn the token of a login into the session of this browser, or ask for its second factor.
 *
 * Throws `ApiError`.
 */
export async function completeLogin(answer: LoginAnswer): Promise<void> {
  if (isWaiting(answer)) {
    waitingLogin.value = answer;
    return;
  }
  await openSession(answer.token, { exchange: true });
  waitingLogin.value = null;
}

function segments(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

/** The address of the provider. Null for anything that is no web page. */
function providerUrl(text: string): string | null {
  const { auth_url, sso_service_url } = JSON.parse(text).data ?? {};
  const url = auth_url ?? sso_service_url;
  return typeof url === "string" && /^https?:\/\//.test(url) ? url : null;
}

function startError(status: number, text: string): ApiError {
  let reason = "the identity provider cannot be asked";
  try {
    reason = JSON.parse(text).errors[0] ?? reason;
  } catch {
    // no JSON: the general reason says enough
  }
  return new ApiError(status, "login_not_started", reason);
}
