import type { Role } from "../../../lib/api-types";

/** An account of this organization. */
export interface User {
  name: string;
  role: Role;
  disabled: boolean;
  created_at: string;
  last_login: string | null;
  email: string;
  second_factor: boolean;
}

/** A member with an account in another organization, `home`. */
export interface GuestMember {
  home: string;
  name: string;
  role: Role;
  created_by: string;
  created_at: string;
}

export interface Invitation {
  id: string;
  email: string;
  role: Role;
  created_by: string;
  created_at: string;
  expires_at: string;
  used_at: string | null;
  used_by: string;
}

/** A new invitation. The link is shown once. */
export interface NewInvitation {
  link: string;
  invitation: Invitation;
  /** Whether the invitation is also sent by email. */
  mailed: boolean;
}

/** An API token without its secret. */
export interface ApiToken {
  id: string;
  user: string;
  kind: string;
  label: string;
  role: Role;
  created_at: string;
  expires_at: string;
}

export interface Organization {
  id: string;
  title: string;
  created_at: string;
  second_factor: boolean;
}

export interface ProviderSettings {
  scopes: string[];
  domains: string[];
  role: Role;
  role_claim: string;
  roles: Record<string, Role>;
  second_factor: boolean;
}

export interface IdentityProvider {
  issuer: string;
  client_id: string;
  terms: ProviderSettings;
  /** URIs to register with the provider. */
  redirect_uri: string;
  logout_uri: string;
  changed_at: string;
}

/** A member, with an account here or in another organization. */
export interface Person extends Pick<User, "name" | "role" | "created_at"> {
  /** Empty for this organization. */
  home: string;
  /** Null for guests: their home organization has the account. */
  account: User | null;
}

/** API path of a member, below the organization. */
export function memberPath({ home, name }: Person): string {
  return home ? `members/${home}/${name}` : `users/${name}`;
}

export const SLUG_PATTERN = "[a-z0-9]([a-z0-9\\-]{0,62}[a-z0-9])?";

export const ROLE_OPTIONS: readonly (readonly [Role, string])[] = [
  ["viewer", "Viewer (read only)"],
  ["operator", "Operator (manages the fleet)"],
  ["admin", "Admin (also people and the audit log)"],
  ["owner", "Owner (also the organization)"],
];
