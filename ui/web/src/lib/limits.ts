/**
 * How many rows an answer may have at most (the query's `limit`), by path. Generated from the APIs'
 * descriptions by tools/web_limits.py: not to be edited.
 */
export const CONTROL_LIMITS = {
  agents: 500,
  alerts: 500,
  assignments: 500,
  audit: 500,
  "audit/export": 500,
  deliveries: 500,
  joins: 500,
  organizations: 500,
  "policies/{policy}/rollouts": 500,
  "policies/{policy}/status": 500,
  "policies/{policy}/versions": 500,
  reports: 500,
  tallies: 500,
  "usage/keys": 1000,
  "usage/secrets": 1000,
  "usage/top": 1000,
  users: 500,
  vaults: 500,
} as const;

export const AGENT_LIMITS = {
  aliases: 1000,
  "audit/events": 500,
  "auth/entries": 1000,
  backups: 1000,
  "backups/runs/{id}/secrets": 1000,
  entities: 1000,
  "group-aliases": 1000,
  groups: 1000,
  "jwt/revocations": 1000,
  leases: 1000,
  "readers/{path}": 1000,
  rotations: 1000,
  "rotations/plan": 1000,
  secrets: 1000,
  "system/egress": 1000,
  users: 1000,
} as const;
