/** A token, without its text. */
export interface EnrolmentToken {
  id: string;
  vault: string;
  replace: boolean;
  created_by: string;
  created_at: string;
  expires_at: string;
  used_at: string | null;
}

/** Shown this once. `control` is empty where the server does not know how agents reach it. */
export interface NewEnrolmentToken {
  secret: string;
  pin: string;
  control: string;
  token: EnrolmentToken;
}

/** An agent that asks. `label` and `source` are what it says and where it came from. */
export interface JoinRequest {
  id: string;
  fingerprint: string;
  label: string;
  source: string;
  state: string;
  vault: string | null;
  requested_at: string;
  expires_at: string;
}

export const SLUG_PATTERN = "[a-z0-9]([a-z0-9\\-]{0,62}[a-z0-9])?";
