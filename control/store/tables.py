"""The tables. Keys begin with the organization: what has no organization in its query is not found.

Times are Unix nanoseconds, but for samples (seconds). Nothing is deleted by cascade.
"""

from typing import Final

import sqlalchemy as sa

from control.store.columns import Json, big, blob, flag, maybe_big, maybe_blob, name, number, prose
from control.store.indexes import index_of

metadata: Final = sa.MetaData()


def _table(title: str, *columns: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(title, metadata, *columns)


organizations: Final = _table(
    "organizations",
    name("id", key=True),
    prose("title"),
    big("created_at"),
    flag("second_factor"),
)
users: Final = _table(
    "users",
    name("org", key=True),
    name("name", key=True),
    name("role"),
    prose("password"),
    flag("disabled"),
    big("created_at"),
    big("changed_at"),
    big("last_login"),
    name("email"),
    sa.Index("ix_users_email", "org", "email"),
)
memberships: Final = _table(
    "memberships",
    name("org", key=True),
    name("home", key=True),
    name("name", key=True),
    name("role"),
    name("created_by"),
    big("created_at"),
    sa.Index("ix_memberships_account", "home", "name"),
)
second_factors: Final = _table(
    "second_factors",
    name("org", key=True),
    name("name", key=True),
    blob("secret"),
    flag("confirmed"),
    big("last_step"),
    big("created_at"),
)
next_factors: Final = _table(
    "next_factors",
    name("org", key=True),
    name("name", key=True),
    blob("secret"),
    name("token"),
    big("expires_at"),
)
recovery_codes: Final = _table(
    "recovery_codes", name("org", key=True), name("name", key=True), blob("digest", key=True)
)
invitations: Final = _table(
    "invitations",
    name("org", key=True),
    name("id", key=True),
    blob("digest"),
    name("email"),
    name("role"),
    name("created_by"),
    big("created_at"),
    big("expires_at"),
    big("used_at"),
    name("used_by"),
    sa.UniqueConstraint("digest", name="uq_invitations_digest"),
    sa.Index("ix_invitations_email", "org", "email"),
)
identity_providers: Final = _table(
    "identity_providers",
    name("org", key=True),
    prose("issuer"),
    prose("client_id"),
    blob("client_secret"),
    Json.column("terms"),
    big("changed_at"),
)
identities: Final = _table(
    "identities",
    name("issuer", key=True),
    name("subject", key=True),
    name("org", key=True),
    name("name"),
    big("created_at"),
    big("last_login"),
    sa.Index("ix_identities_account", "org", "name"),
)
oidc_flows: Final = _table(
    "oidc_flows",
    blob("state", key=True),
    name("org"),
    blob("browser"),
    prose("nonce"),
    prose("verifier"),
    prose("redirect"),
    name("invitation"),
    big("expires_at"),
    prose("client"),
    big("port"),
    prose("challenge"),
    sa.Index("ix_oidc_flows_expiry", "expires_at"),
    sa.Index("ix_oidc_flows_org", "org", "client", "expires_at"),
)
used_logouts: Final = _table(
    "used_logouts",
    blob("digest", key=True),
    big("expires_at"),
    sa.Index("ix_used_logouts_expiry", "expires_at"),
)
login_failures: Final = _table(
    "login_failures", name("org", key=True), name("name", key=True), big("count"), big("last_at")
)
tokens: Final = _table(
    "tokens",
    blob("digest", key=True),
    name("id"),
    name("org"),
    name("user"),
    name("kind"),
    prose("label"),
    name("role"),
    big("created_at"),
    big("expires_at"),
    big("seen_at"),
    prose("ip"),
    prose("user_agent"),
    name("acting"),
    big("proven_at"),
    big("factor_at"),
    prose("sid"),
    sa.UniqueConstraint("org", "id", name="uq_tokens_id"),
    sa.Index("ix_tokens_user", "org", "user"),
)
agents: Final = _table(
    "agents",
    name("org", key=True),
    name("vault", key=True),
    name("life"),
    prose("reason"),
    Json.column("tags"),
    name("presence"),
    big("last_seen"),
    Json.column("facts"),
    name("health"),
    big("created_at"),
    big("changed_at"),
)
agent_tags: Final = _table(
    "agent_tags", name("org", key=True), name("tag", key=True), name("vault", key=True)
)
policies: Final = _table(
    "policies",
    name("org", key=True),
    name("name", key=True),
    big("head"),
    big("stable"),
    Json.column("targets"),
    big("created_at"),
    big("changed_at"),
)
policy_versions: Final = _table(
    "policy_versions",
    name("org", key=True),
    name("name", key=True),
    big("version", key=True),
    Json.column("document"),
    prose("comment"),
    name("created_by"),
    big("created_at"),
)
rollouts: Final = _table(
    "rollouts",
    name("org", key=True),
    name("id", key=True),
    name("policy"),
    big("version"),
    big("previous"),
    Json.column("plan"),
    big("step"),
    name("state"),
    prose("reason"),
    name("created_by"),
    big("created_at"),
    big("changed_at"),
    name("owner"),
    Json.column("targets"),
    Json.column("previous_targets"),
    sa.Index("ix_rollouts_policy", "org", "policy", "created_at"),
    sa.Index("ix_rollouts_state", "state"),
)
assignments: Final = _table(
    "assignments",
    name("org", key=True),
    name("vault", key=True),
    big("version"),
    Json.column("contents"),
    blob("digest"),
    blob("bundle"),
    name("outcome"),
    prose("reason"),
    big("applied"),
    big("changed_at"),
    name("body"),
    big("cut"),
)
bundle_bodies: Final = _table(
    "bundle_bodies", name("org", key=True), name("digest", key=True), blob("data")
)
series: Final = _table(
    "series",
    big("id", key=True),
    name("org"),
    name("vault"),
    name("name"),
    sa.UniqueConstraint("org", "vault", "name", name="uq_series"),
)
samples: Final = _table(
    "samples",
    big("series", key=True),
    big("resolution", key=True),
    big("at", key=True),
    big("count"),
    number("total"),
    number("low"),
    number("high"),
    number("last"),
    sa.Index("ix_samples_age", "resolution", "at"),
)
alerts: Final = _table(
    "alerts",
    name("org", key=True),
    name("id", key=True),
    name("vault"),
    name("code"),
    name("severity"),
    prose("message"),
    big("at"),
    name("acknowledged_by"),
    big("acknowledged_at"),
    name("subject"),
    prose("note"),
    big("count"),
    big("last_at"),
    big("ended_at"),
    big("reopened"),
    big("resolve_at"),
    sa.Index("ix_alerts_at", "org", "at"),
    sa.Index("ix_alerts_vault", "org", "vault", "at"),
    sa.Index("ix_alerts_condition", "org", "code", "vault", "ended_at"),
    index_of("ix_alerts_owed", "resolve_at", where="resolve_at > 0"),
)
audit: Final = _table(
    "audit",
    name("org", key=True),
    big("seq", key=True),
    big("at"),
    name("request_id"),
    name("actor"),
    name("token"),
    name("ip"),
    name("operation"),
    prose("target"),
    name("phase"),
    name("result"),
    name("code"),
    Json.column("detail"),
    blob("previous"),
    blob("hash"),
)
witnessed: Final = _table(
    "witnessed",
    name("org", key=True),
    name("vault", key=True),
    big("size"),
    blob("root"),
    prose("note"),
    big("at"),
    name("fault"),
    blob("signer"),
)
witnessed_logs: Final = _table(
    "witnessed_logs",
    name("origin", key=True),
    blob("signer", key=True),
    big("size"),
    blob("root"),
    prose("note"),
    big("at"),
    name("org"),
    name("vault"),
    flag("disputed"),
)

# The agents' links.

links: Final = _table(
    "links",
    name("org", key=True),
    name("vault", key=True),
    blob("stream"),
    big("newest"),
    big("acknowledged"),
    big("bundle"),
    big("bundle_id"),
    big("checkpoint"),
    big("checkpoint_id"),
    blob("peer"),
    big("applied"),
    big("epoch"),
    big("measured"),
    Json.column("histograms"),
)
outgoing: Final = _table(
    "outgoing",
    name("org", key=True),
    name("vault", key=True),
    big("id", key=True),
    name("name"),
    blob("payload"),
)
commands: Final = _table(
    "commands",
    name("org", key=True),
    name("id", key=True),
    name("vault"),
    name("command"),
    name("created_by"),
    big("created_at"),
    big("expires_at"),
    name("outcome"),
    big("done_at"),
    sa.Index("ix_commands_vault", "org", "vault", "created_at"),
)

# What the CA keeps (`control.ca.ledger`).

ca_tokens: Final = _table(
    "ca_tokens",
    name("id", key=True),
    blob("hash"),
    name("org"),
    name("vault"),
    flag("replace"),
    name("created_by"),
    big("created_at"),
    big("expires_at"),
    maybe_big("used_at"),
    maybe_blob("used_by"),
    sa.UniqueConstraint("hash", name="uq_ca_tokens_hash"),
    sa.Index("ix_ca_tokens_org", "org", "created_at"),
)
ca_agents: Final = _table(
    "ca_agents",
    name("org", key=True),
    name("vault", key=True),
    name("state"),
    big("generation"),
    big("confirmed"),
    blob("link_key"),
    big("enrolled_at"),
    big("changed_at"),
    prose("reason"),
)
ca_certificates: Final = _table(
    "ca_certificates",
    name("serial", key=True),
    blob("key"),
    name("org"),
    name("vault"),
    big("generation"),
    blob("der"),
    name("issuer"),
    big("not_before"),
    big("not_after"),
    maybe_big("revoked_at"),
    sa.UniqueConstraint("key", name="uq_ca_certificates_key"),
    sa.Index("ix_ca_certificates_agent", "org", "vault", "generation"),
    sa.Index("ix_ca_certificates_end", "not_after"),
    index_of("ix_ca_certificates_revoked", "not_after", "serial", where="revoked_at IS NOT NULL"),
)
ca_joins: Final = _table(
    "ca_joins",
    name("id", key=True),
    blob("key"),
    blob("link_key"),
    name("org"),
    prose("label"),
    name("source"),
    name("client"),
    name("site"),
    big("requested_at"),
    big("expires_at"),
    name("state"),
    name("given_org"),
    name("given_vault"),
    flag("replace"),
    name("decided_by"),
    maybe_big("decided_at"),
    sa.UniqueConstraint("key", name="uq_ca_joins_key"),
    sa.Index("ix_ca_joins_state", "state", "requested_at"),
    sa.Index("ix_ca_joins_requested", "requested_at"),
)

# What all processes of one database have to agree on.

marks: Final = _table("marks", name("name", key=True), name("value"))
