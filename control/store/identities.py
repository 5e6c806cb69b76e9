"""Identity providers, the accounts that they know, and logins on their way."""

import sqlalchemy as sa

from control.model.identity import IdentityProvider, LinkedIdentity, LoginFlow
from control.store.rows import Tx, fetch_one, insert_or_replace, insert_row
from control.store.tables import identities, identity_providers, oidc_flows, used_logouts


def get_provider(tx: Tx, org: str) -> IdentityProvider | None:
    """The organization's."""
    t = identity_providers.c
    return fetch_one(tx, IdentityProvider, sa.select(identity_providers).where(t.org == org))


def put_provider(tx: Tx, row: IdentityProvider) -> None:
    """Replace the organization's."""
    insert_or_replace(tx, identity_providers, row)


def delete_provider(tx: Tx, org: str) -> bool:
    """Remove it; whether there was one. Accounts stay linked, should it come back."""
    t = identity_providers.c
    return tx.execute(identity_providers.delete().where(t.org == org)).rowcount > 0


def get_identity(tx: Tx, issuer: str, subject: str, org: str) -> LinkedIdentity | None:
    """The account in `org` of whom the provider calls so."""
    t = identities.c
    mine = t.issuer == issuer, t.subject == subject, t.org == org
    return fetch_one(tx, LinkedIdentity, sa.select(identities).where(*mine))


def put_identity(tx: Tx, row: LinkedIdentity) -> None:
    """Add or replace it."""
    insert_or_replace(tx, identities, row)


def delete_identities(tx: Tx, org: str, name: str) -> None:
    """Unlink an account."""
    t = identities.c
    tx.execute(identities.delete().where(t.org == org, t.name == name))


def add_flow(tx: Tx, row: LoginFlow) -> None:
    """Begin a login."""
    insert_row(tx, oidc_flows, row)


def take_flow(tx: Tx, state: bytes) -> LoginFlow | None:
    """The login of this state, which is over with that: a state is good once."""
    t = oidc_flows.c
    found = fetch_one(tx, LoginFlow, sa.select(oidc_flows).where(t.state == state))
    tx.execute(oidc_flows.delete().where(t.state == state))
    return found


def count_flows(tx: Tx, org: str) -> int:
    """How many are on their way in an organization."""
    t = oidc_flows.c
    chosen = sa.select(sa.func.count()).where(t.org == org)
    return int(tx.execute(chosen).scalar_one())


def evict_flow(tx: Tx, org: str) -> None:
    """Remove one of an organization: the oldest of the client that has most."""
    t = oidc_flows.c
    many = (
        sa.select(t.client)
        .where(t.org == org)
        .group_by(t.client)
        .order_by(sa.func.count().desc(), sa.func.min(t.expires_at))
        .limit(1)
    )
    oldest = (
        sa.select(t.state)
        .where(t.org == org, t.client == many.scalar_subquery())
        .order_by(t.expires_at, t.state)
        .limit(1)
    )
    tx.execute(oidc_flows.delete().where(t.state == oldest.scalar_subquery()))


def use_logout_token(tx: Tx, digest: bytes, now: int, until: int) -> bool:
    """Whether this logout token was not used before; then it is, as is known until then."""
    t = used_logouts.c
    mine = t.digest == digest  # not secret: SQL
    tx.execute(used_logouts.delete().where(t.expires_at <= now))
    if tx.execute(sa.select(t.digest).where(mine)).first() is not None:
        return False
    tx.execute(used_logouts.insert().values(digest=digest, expires_at=until))
    return True


def delete_expired_flows(tx: Tx, now: int) -> int:
    """Remove what has expired; how many."""
    return tx.execute(oidc_flows.delete().where(oidc_flows.c.expires_at <= now)).rowcount
