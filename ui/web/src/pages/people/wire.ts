import type { Role } from "../../lib/types";

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
export interface Guest {
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
export interface Invited {
  link: string;
  invitation: Invitation;
  /** It goes by mail, too. */
  mailed: boolean;
}

/** A credential, without its secret. */
export interface Token {
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

export interface Terms {
  scopes: string[];
  domains: string[];
  role: Role;
  role_claim: string;
  roles: Record<string, Role>;
  second_factor: boolean;
}

export interface Provider {
  issuer: string;
  client_id: string;
  terms: Terms;
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
export function pathOf({ home, name }: Person): string {
  return home ? `members/${home}/${name}` : `users/${name}`;
}

export const SLUG = "[a-z0-9]([a-z0-9\\-]{0,62}[a-z0-9])?";

export const ROLES: readonly (readonly [Role, string])[] = [
  ["viewer", "Viewer: looks"],
  ["operator", "Operator: runs the fleet"],
  ["admin", "Admin: and people, and the trail"],
  ["owner", "Owner: and the organization"],
];
