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

/** A member whose account is of another organization, `home`. */
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

/** A new one; its link is shown this once. */
export interface NewInvitation {
  link: string;
  invitation: Invitation;
  /** It goes by mail, too. */
  mailed: boolean;
}

/** A credential, without its secret. */
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
  /** What the provider has to know of us. */
  redirect_uri: string;
  logout_uri: string;
  changed_at: string;
}

/** Somebody who belongs here, whichever organization the account is of. */
export interface Person extends Pick<User, "name" | "role" | "created_at"> {
  /** Empty: this one. */
  home: string;
  /** Null for a guest: their own organization knows. */
  account: User | null;
}

/** Below the organization in the API. */
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
