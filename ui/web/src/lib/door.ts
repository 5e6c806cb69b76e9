import { call } from "./api";

/** The steps of signing in. Each throws `ApiError`; the cookie comes with the last one. */

export interface Credentials {
  organization: string;
  name: string;
  password: string;
}

/**
 * Whether one is in, or what is asked for next: `challenge` goes with the answer. After a login at an
 * identity provider it is empty, and in a cookie.
 */
export interface Opened {
  state: "open" | "second-factor" | "enrolment";
  challenge: string;
}

/** What the address says when the identity provider has sent the browser back (`?signin=`). */
export function returned(signin: string | null): Opened | null {
  return signin === "second-factor" || signin === "enrolment"
    ? { state: signin, challenge: "" }
    : null;
}

/** What an authenticator app takes: typed by hand, as a link, or as a picture (`data:`). */
export interface Enrolment {
  secret: string;
  uri: string;
  picture: string;
}

export const signIn = (credentials: Credentials) => knock<Opened>("sessions", credentials);

export const answer = (challenge: string, code: string) =>
  knock<Opened>("second-factor/answer", { challenge, code });

/** The organization wants a second factor and there is none yet: begin one. */
export const beginEnrolment = (challenge: string) =>
  knock<Enrolment>("second-factor/enrolment", { challenge });

/** Its first code. One is signed in; the recovery codes are shown this once. */
export const confirmEnrolment = (challenge: string, code: string) =>
  knock<{ recovery_codes: string[] }>("second-factor/enrolment/confirm", { challenge, code });

/** Where the browser has to go to sign in at the organization's identity provider. */
export const beginFederated = (organization: string, invitation = "") =>
  knock<{ url: string }>("oidc/begin", { organization, invitation });

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
  knock<Opened>("invitations/accept", { secret, name, password });

function knock<T>(path: string, body: object): Promise<T> {
  return call<T>("POST", path, { body, headers: { "X-Freehold-Session": "cookie" } });
}
