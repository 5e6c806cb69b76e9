/** An enrolment token without its secret. */
export interface EnrolmentToken {
  id: string;
  vault: string;
  replace: boolean;
  created_by: string;
  created_at: string;
  expires_at: string;
  used_at: string | null;
}

/** Shown once. `control` is empty if the server does not know its address for agents. */
export interface NewEnrolmentToken {
  secret: string;
  pin: string;
  control: string;
  token: EnrolmentToken;
}

/** A request to join. `label` and `source` are claims of the agent. */
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
