"""The tables of the schema. Keys begin with the organization, which every query names.

Times are Unix nanoseconds, but for samples and usage (seconds). Nothing is deleted by cascade.

Notifications: `notices` are written in the transaction of what they report, and deleted once they
are `entries` of channels; entries are deleted once they are in a message (`deliveries`). `told` has
the last notice of each condition and channel.
"""

from typing import Final

import sqlalchemy as sa

from control.store.columns import (
    JsonColumn,
    boolean_column,
    bytes_column,
    float_column,
    index_of,
    integer_column,
    name_column,
    optional_bytes_column,
    optional_integer_column,
    prose_column,
)

metadata: Final = sa.MetaData()


def _table(title: str, *columns: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(title, metadata, *columns)


organizations: Final = _table(
    "organizations",
    name_column("id", key=True),
    prose_column("title"),
    integer_column("created_at"),
    boolean_column("second_factor"),
)
users: Final = _table(
    "users",
    name_column("org", key=True),
    name_column("name", key=True),
    name_column("role"),
    prose_column("password"),
    boolean_column("disabled"),
    integer_column("created_at"),
    integer_column("changed_at"),
    integer_column("last_login"),
    name_column("email"),
    sa.Index("ix_users_email", "org", "email"),
)
memberships: Final = _table(
    "memberships",
    name_column("org", key=True),
    name_column("home", key=True),
    name_column("name", key=True),
    name_column("role"),
    name_column("created_by"),
    integer_column("created_at"),
    sa.Index("ix_memberships_account", "home", "name"),
)
second_factors: Final = _table(
    "second_factors",
    name_column("org", key=True),
    name_column("name", key=True),
    bytes_column("secret"),
    boolean_column("confirmed"),
    integer_column("last_step"),
    integer_column("created_at"),
)
next_factors: Final = _table(
    "next_factors",
    name_column("org", key=True),
    name_column("name", key=True),
    bytes_column("secret"),
    name_column("token"),
    integer_column("expires_at"),
)
recovery_codes: Final = _table(
    "recovery_codes",
    name_column("org", key=True),
    name_column("name", key=True),
    bytes_column("digest", key=True),
)
invitations: Final = _table(
    "invitations",
    name_column("org", key=True),
    name_column("id", key=True),
    bytes_column("digest"),
    name_column("email"),
    name_column("role"),
    name_column("created_by"),
    integer_column("created_at"),
    integer_column("expires_at"),
    integer_column("used_at"),
    name_column("used_by"),
    sa.UniqueConstraint("digest", name="uq_invitations_digest"),
    sa.Index("ix_invitations_email", "org", "email"),
)
identity_providers: Final = _table(
    "identity_providers",
    name_column("org", key=True),
    prose_column("issuer"),
    prose_column("client_id"),
    bytes_column("client_secret"),
    JsonColumn.column("terms"),
    integer_column("changed_at"),
)
identities: Final = _table(
    "identities",
    name_column("issuer", key=True),
    name_column("subject", key=True),
    name_column("org", key=True),
    name_column("name"),
    integer_column("created_at"),
    integer_column("last_login"),
    sa.Index("ix_identities_account", "org", "name"),
)
oidc_flows: Final = _table(
    "oidc_flows",
    bytes_column("state", key=True),
    name_column("org"),
    bytes_column("browser"),
    prose_column("nonce"),
    prose_column("verifier"),
    prose_column("redirect"),
    name_column("invitation"),
    integer_column("expires_at"),
    prose_column("client"),
    integer_column("port"),
    prose_column("challenge"),
    sa.Index("ix_oidc_flows_expiry", "expires_at"),
    sa.Index("ix_oidc_flows_org", "org", "client", "expires_at"),
)
used_logouts: Final = _table(
    "used_logouts",
    bytes_column("digest", key=True),
    integer_column("expires_at"),
    sa.Index("ix_used_logouts_expiry", "expires_at"),
)
login_failures: Final = _table(
    "login_failures",
    name_column("org", key=True),
    name_column("name", key=True),
    integer_column("count"),
    integer_column("last_at"),
)
tokens: Final = _table(
    "tokens",
    bytes_column("digest", key=True),
    name_column("id"),
    name_column("org"),
    name_column("user"),
    name_column("kind"),
    prose_column("label"),
    name_column("role"),
    integer_column("created_at"),
    integer_column("expires_at"),
    integer_column("seen_at"),
    prose_column("ip"),
    prose_column("user_agent"),
    name_column("acting"),
    integer_column("proven_at"),
    integer_column("factor_at"),
    prose_column("sid"),
    sa.UniqueConstraint("org", "id", name="uq_tokens_id"),
    sa.Index("ix_tokens_user", "org", "user"),
)
agents: Final = _table(
    "agents",
    name_column("org", key=True),
    name_column("vault", key=True),
    name_column("life"),
    prose_column("reason"),
    JsonColumn.column("tags"),
    name_column("presence"),
    integer_column("last_seen"),
    JsonColumn.column("facts"),
    name_column("health"),
    integer_column("created_at"),
    integer_column("changed_at"),
)
agent_tags: Final = _table(
    "agent_tags",
    name_column("org", key=True),
    name_column("tag", key=True),
    name_column("vault", key=True),
)
policies: Final = _table(
    "policies",
    name_column("org", key=True),
    name_column("name", key=True),
    integer_column("head"),
    integer_column("stable"),
    JsonColumn.column("targets"),
    integer_column("created_at"),
    integer_column("changed_at"),
)
policy_versions: Final = _table(
    "policy_versions",
    name_column("org", key=True),
    name_column("name", key=True),
    integer_column("version", key=True),
    JsonColumn.column("document"),
    prose_column("comment"),
    name_column("created_by"),
    integer_column("created_at"),
)
rollouts: Final = _table(
    "rollouts",
    name_column("org", key=True),
    name_column("id", key=True),
    name_column("policy"),
    integer_column("version"),
    integer_column("previous"),
    JsonColumn.column("plan"),
    integer_column("step"),
    name_column("state"),
    prose_column("reason"),
    name_column("created_by"),
    integer_column("created_at"),
    integer_column("changed_at"),
    name_column("owner"),
    JsonColumn.column("targets"),
    JsonColumn.column("previous_targets"),
    sa.Index("ix_rollouts_policy", "org", "policy", "created_at"),
    sa.Index("ix_rollouts_state", "state"),
)
assignments: Final = _table(
    "assignments",
    name_column("org", key=True),
    name_column("vault", key=True),
    integer_column("version"),
    JsonColumn.column("contents"),
    bytes_column("digest"),
    bytes_column("bundle"),
    name_column("outcome"),
    prose_column("reason"),
    integer_column("applied"),
    integer_column("changed_at"),
    name_column("body"),
    integer_column("cut"),
)
bundle_bodies: Final = _table(
    "bundle_bodies",
    name_column("org", key=True),
    name_column("digest", key=True),
    bytes_column("data"),
)
series: Final = _table(
    "series",
    integer_column("id", key=True),
    name_column("org"),
    name_column("vault"),
    name_column("name"),
    sa.UniqueConstraint("org", "vault", "name", name="uq_series"),
)
samples: Final = _table(
    "samples",
    integer_column("series", key=True),
    integer_column("resolution", key=True),
    integer_column("at", key=True),
    integer_column("count"),
    float_column("total"),
    float_column("low"),
    float_column("high"),
    float_column("last"),
    sa.Index("ix_samples_age", "resolution", "at"),
)
alerts: Final = _table(
    "alerts",
    name_column("org", key=True),
    name_column("id", key=True),
    name_column("vault"),
    name_column("code"),
    name_column("severity"),
    prose_column("message"),
    integer_column("at"),
    name_column("acknowledged_by"),
    integer_column("acknowledged_at"),
    name_column("subject"),
    prose_column("note"),
    integer_column("count"),
    integer_column("last_at"),
    integer_column("ended_at"),
    integer_column("reopened"),
    integer_column("resolve_at"),
    sa.Index("ix_alerts_at", "org", "at"),
    sa.Index("ix_alerts_vault", "org", "vault", "at"),
    sa.Index("ix_alerts_condition", "org", "code", "vault", "ended_at"),
    index_of("ix_alerts_owed", "resolve_at", where="resolve_at > 0"),
)
audit: Final = _table(
    "audit",
    name_column("org", key=True),
    integer_column("seq", key=True),
    integer_column("at"),
    name_column("request_id"),
    name_column("actor"),
    name_column("token"),
    name_column("ip"),
    name_column("operation"),
    prose_column("target"),
    name_column("phase"),
    name_column("result"),
    name_column("code"),
    JsonColumn.column("detail"),
    bytes_column("previous"),
    bytes_column("hash"),
)
witnessed: Final = _table(
    "witnessed",
    name_column("org", key=True),
    name_column("vault", key=True),
    integer_column("size"),
    bytes_column("root"),
    prose_column("note"),
    integer_column("at"),
    name_column("fault"),
    bytes_column("signer"),
)
witnessed_logs: Final = _table(
    "witnessed_logs",
    name_column("origin", key=True),
    bytes_column("signer", key=True),
    integer_column("size"),
    bytes_column("root"),
    prose_column("note"),
    integer_column("at"),
    name_column("org"),
    name_column("vault"),
    boolean_column("disputed"),
)

# The agents' links.

links: Final = _table(
    "links",
    name_column("org", key=True),
    name_column("vault", key=True),
    bytes_column("stream"),
    integer_column("newest"),
    integer_column("acknowledged"),
    integer_column("bundle"),
    integer_column("bundle_id"),
    integer_column("checkpoint"),
    integer_column("checkpoint_id"),
    bytes_column("peer"),
    integer_column("applied"),
    integer_column("epoch"),
    integer_column("measured"),
    JsonColumn.column("histograms"),
)
outgoing: Final = _table(
    "outgoing",
    name_column("org", key=True),
    name_column("vault", key=True),
    integer_column("id", key=True),
    name_column("name"),
    bytes_column("payload"),
)
commands: Final = _table(
    "commands",
    name_column("org", key=True),
    name_column("id", key=True),
    name_column("vault"),
    name_column("command"),
    name_column("created_by"),
    integer_column("created_at"),
    integer_column("expires_at"),
    name_column("outcome"),
    integer_column("done_at"),
    sa.Index("ix_commands_vault", "org", "vault", "created_at"),
)

# What the CA keeps (`control.ca.store`).

ca_tokens: Final = _table(
    "ca_tokens",
    name_column("id", key=True),
    bytes_column("hash"),
    name_column("org"),
    name_column("vault"),
    boolean_column("replace"),
    name_column("created_by"),
    integer_column("created_at"),
    integer_column("expires_at"),
    optional_integer_column("used_at"),
    optional_bytes_column("used_by"),
    sa.UniqueConstraint("hash", name="uq_ca_tokens_hash"),
    sa.Index("ix_ca_tokens_org", "org", "created_at"),
)
ca_agents: Final = _table(
    "ca_agents",
    name_column("org", key=True),
    name_column("vault", key=True),
    name_column("state"),
    integer_column("generation"),
    integer_column("confirmed"),
    bytes_column("link_key"),
    integer_column("enrolled_at"),
    integer_column("changed_at"),
    prose_column("reason"),
)
ca_certificates: Final = _table(
    "ca_certificates",
    name_column("serial", key=True),
    bytes_column("key"),
    name_column("org"),
    name_column("vault"),
    integer_column("generation"),
    bytes_column("der"),
    name_column("issuer"),
    integer_column("not_before"),
    integer_column("not_after"),
    optional_integer_column("revoked_at"),
    sa.UniqueConstraint("key", name="uq_ca_certificates_key"),
    sa.Index("ix_ca_certificates_agent", "org", "vault", "generation"),
    sa.Index("ix_ca_certificates_end", "not_after"),
    index_of("ix_ca_certificates_revoked", "not_after", "serial", where="revoked_at IS NOT NULL"),
)
ca_joins: Final = _table(
    "ca_joins",
    name_column("id", key=True),
    bytes_column("key"),
    bytes_column("link_key"),
    name_column("org"),
    prose_column("label"),
    name_column("source"),
    name_column("client"),
    name_column("site"),
    integer_column("requested_at"),
    integer_column("expires_at"),
    name_column("state"),
    name_column("given_org"),
    name_column("given_vault"),
    boolean_column("replace"),
    name_column("decided_by"),
    optional_integer_column("decided_at"),
    sa.UniqueConstraint("key", name="uq_ca_joins_key"),
    sa.Index("ix_ca_joins_state", "state", "requested_at"),
    sa.Index("ix_ca_joins_requested", "requested_at"),
)

# What all processes of one database have to agree on.

marks: Final = _table("marks", name_column("name", key=True), name_column("value"))
history: Final = _table(
    "history",
    name_column("org", key=True),
    name_column("aspect", key=True),
    name_column("subject", key=True),
    integer_column("at", key=True),
    name_column("value"),
    JsonColumn.column("detail"),
    integer_column("before"),
    sa.Index("ix_history_at", "org", "aspect", "at"),
)
usage_parts: Final = _table(
    "usage_parts",
    name_column("org", key=True),
    name_column("vault", key=True),
    integer_column("since", key=True),
    integer_column("until"),
    boolean_column("rolled"),
    sa.Index("ix_usage_parts_since", "since"),
)
usage_counts: Final = _table(
    "usage_counts",
    name_column("org", key=True),
    name_column("vault", key=True),
    integer_column("resolution", key=True),
    integer_column("at", key=True),
    name_column("kind", key=True),
    name_column("subject", key=True),
    integer_column("part", key=True),
    integer_column("count"),
    integer_column("failed"),
    sa.Index("ix_usage_counts_at", "org", "kind", "at"),
    sa.Index("ix_usage_counts_age", "resolution", "at"),
)
usage_secrets: Final = _table(
    "usage_secrets",
    name_column("org", key=True),
    name_column("vault", key=True),
    name_column("secret", key=True),
    integer_column("last_read"),
    integer_column("rotated_at"),
    integer_column("expires_at"),
    integer_column("seen_at"),
    sa.Index("ix_usage_secrets_seen", "seen_at"),
)
usage_looks: Final = _table(
    "usage_looks",
    name_column("org", key=True),
    name_column("vault", key=True),
    integer_column("at"),
    integer_column("total"),
    integer_column("never_read"),
    integer_column("expired"),
    JsonColumn.column("idle"),
    JsonColumn.column("age"),
    JsonColumn.column("expires"),
    boolean_column("opaque"),
)
channels: Final = _table(
    "channels",
    name_column("org", key=True),
    name_column("id", key=True),
    name_column("name"),
    name_column("type"),
    prose_column("host"),
    boolean_column("enabled"),
    JsonColumn.column("terms"),
    bytes_column("secret"),
    integer_column("created_at"),
    integer_column("changed_at"),
    integer_column("sent_at"),
    integer_column("failed_at"),
    integer_column("failures"),
    prose_column("reason"),
    integer_column("omitted"),
    name_column("owner"),
    prose_column("suspended"),
    sa.UniqueConstraint("org", "name", name="uq_channels_name"),
    sa.Index("ix_channels_owner", "owner"),
)
notices: Final = _table(
    "notices",
    name_column("id", key=True),
    name_column("kind", key=True),
    name_column("org"),
    integer_column("at"),
    JsonColumn.column("body"),
    sa.Index("ix_notices_at", "at"),
)
entries: Final = _table(
    "entries",
    name_column("org", key=True),
    name_column("channel", key=True),
    name_column("notice", key=True),
    integer_column("due_at"),
    integer_column("at"),
    JsonColumn.column("body"),
    sa.Index("ix_entries_due", "due_at"),
)
told: Final = _table(
    "told",
    name_column("org", key=True),
    name_column("channel", key=True),
    name_column("key", key=True),
    name_column("kind"),
    integer_column("at"),
    integer_column("count"),
    sa.Index("ix_told_at", "at"),
)
deliveries: Final = _table(
    "deliveries",
    name_column("org", key=True),
    name_column("id", key=True),
    name_column("channel"),
    name_column("state"),
    integer_column("attempts"),
    prose_column("reason"),
    integer_column("created_at"),
    integer_column("due_at"),
    integer_column("finished_at"),
    integer_column("omitted"),
    JsonColumn.column("notices"),
    sa.Index("ix_deliveries_due", "state", "due_at"),
    sa.Index("ix_deliveries_created", "org", "created_at"),
)
reports: Final = _table(
    "reports",
    name_column("org", key=True),
    name_column("id", key=True),
    prose_column("title"),
    JsonColumn.column("frameworks"),
    integer_column("since"),
    integer_column("until"),
    name_column("state"),
    integer_column("done"),
    integer_column("steps"),
    name_column("created_by"),
    integer_column("created_at"),
    integer_column("made_at"),
    JsonColumn.column("counts"),
    name_column("digest"),
    integer_column("size"),
    prose_column("reason"),
    bytes_column("body"),
    sa.Index("ix_reports_state", "state", "created_at"),
    sa.Index("ix_reports_age", "org", "created_at"),
)
report_schedules: Final = _table(
    "report_schedules",
    name_column("org", key=True),
    name_column("id", key=True),
    prose_column("title"),
    JsonColumn.column("frameworks"),
    prose_column("cron"),
    prose_column("zone"),
    integer_column("days"),
    boolean_column("enabled"),
    name_column("created_by"),
    integer_column("created_at"),
    integer_column("next_at"),
    integer_column("last_at"),
    name_column("owner"),
    prose_column("suspended"),
    sa.Index("ix_report_schedules_due", "enabled", "next_at"),
    sa.Index("ix_report_schedules_owner", "owner"),
)
control_notes: Final = _table(
    "control_notes",
    name_column("org", key=True),
    name_column("id", key=True),
    name_column("framework"),
    name_column("control"),
    prose_column("text"),
    prose_column("name"),
    name_column("digest"),
    bytes_column("content"),
    name_column("created_by"),
    integer_column("created_at"),
)
retention_rules: Final = _table(
    "retention_rules",
    name_column("org", key=True),
    name_column("kind", key=True),
    integer_column("days"),
)
holds: Final = _table(
    "holds",
    name_column("org", key=True),
    name_column("id", key=True),
    name_column("vault"),
    integer_column("since"),
    integer_column("until"),
    prose_column("reason"),
    name_column("created_by"),
    integer_column("created_at"),
    name_column("lifted_by"),
    integer_column("lifted_at"),
    prose_column("lifted_why"),
)
trail_bases: Final = _table(
    "trail_bases",
    name_column("org", key=True),
    integer_column("size"),
    bytes_column("hash"),
    integer_column("at"),
    bytes_column("signature"),
)
growths: Final = _table(
    "growths",
    name_column("org", key=True),
    name_column("vault", key=True),
    integer_column("size"),
    integer_column("old_size"),
    bytes_column("old_root"),
    bytes_column("path"),
)
replays: Final = _table(
    "replays",
    name_column("org", key=True),
    name_column("id", key=True),
    name_column("policy"),
    integer_column("version"),
    JsonColumn.column("document"),
    integer_column("since"),
    integer_column("until"),
    name_column("created_by"),
    integer_column("created_at"),
    integer_column("expires_at"),
    sa.Index("ix_replays_policy", "org", "policy", "created_at"),
)
replay_agents: Final = _table(
    "replay_agents",
    name_column("org", key=True),
    name_column("replay", key=True),
    name_column("vault", key=True),
    name_column("state"),
    JsonColumn.column("numbers"),
    integer_column("changed_at"),
    sa.Index("ix_replay_agents_vault", "org", "vault", "state"),
)
