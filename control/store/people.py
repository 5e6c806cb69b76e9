"""Organizations, users, and their credentials."""

import sqlalchemy as sa

from control.model.history import NO_VALUE, Aspect, StateChange
from control.model.people import Organization, Role, Token, User
from control.store.history import record_changes
from control.store.identities import delete_identities
from control.store.members import delete_memberships, record_guest_role
from control.store.rows import Tx, fetch_all, fetch_one, insert_or_replace, insert_row
from control.store.second_factors import delete_factor
from control.store.tables import ca_tokens, login_failures, organizations, tokens, users


def add_organization(tx: Tx, organization: Organization) -> None:
    """Add it; conflicts with one of its id."""
    insert_row(tx, organizations, organization)
    record_changes(tx, [demand_change(organization, organization.created_at)])


def get_organization(tx: Tx, org: str) -> Organization | None:
    """The organization of this id."""
    return fetch_one(tx, Organization, sa.select(organizations).where(organizations.c.id == org))


def list_organizations(tx: Tx, after: str, limit: int) -> list[Organization]:
    """By id, beginning behind `after`."""
    t = organizations.c
    return fetch_all(
        tx,
        Organization,
        sa.select(organizations).where(t.id > after).order_by(t.id).limit(limit),
    )


def add_user(tx: Tx, user: User) -> None:
    """Add; conflicts with one of the name."""
    insert_row(tx, users, user)
    record_changes(tx, [role_change(user)])


def put_user(tx: Tx, user: User) -> None:
    """Replace the user of this name."""
    insert_or_replace(tx, users, user)
    record_changes(tx, [role_change(user)])
    record_guest_role(tx, user.org, user.name, user.changed_at)


def get_user(tx: Tx, org: str, name: str) -> User | None:
    """The user of this name."""
    return fetch_one(tx, User, sa.select(users).where(users.c.org == org, users.c.name == name))


def list_users(tx: Tx, org: str, after: str, limit: int) -> list[User]:
    """By name, beginning behind `after`."""
    t = users.c
    chosen = sa.select(users).where(t.org == org, t.name > after).order_by(t.name).limit(limit)
    return fetch_all(tx, User, chosen)


def count_owners(tx: Tx, org: str) -> int:
    """How many owners may sign in."""
    t = users.c
    chosen = sa.select(sa.func.count()).where(
        t.org == org, t.role == Role.OWNER, sa.not_(t.disabled)
    )
    return int(tx.execute(chosen).scalar_one())


def delete_user(tx: Tx, org: str, name: str, now: int) -> list[str]:
    """Remove the user with all credentials; the ids of these."""
    held = delete_tokens(tx, org, name)
    clear_failures(tx, org, name)
    delete_factor(tx, org, name)
    delete_memberships(tx, org, name, now)
    delete_identities(tx, org, name)
    gone = tx.execute(users.delete().where(users.c.org == org, users.c.name == name)).rowcount
    if gone:
        record_changes(tx, [_new_role_change(org, name, NO_VALUE, now)])
    return held


def role_change(user: User) -> StateChange:
    """What an account may do at home, as of when it was changed."""
    value = NO_VALUE if user.disabled else str(user.role)
    return _new_role_change(user.org, user.name, value, user.changed_at)


def _new_role_change(org: str, name: str, value: str, at: int) -> StateChange:
    subject = f"{org}/{name}"
    return StateChange(org=org, aspect=Aspect.ROLE, subject=subject, at=at, value=value)


def add_token(tx: Tx, token: Token) -> None:
    """Add a credential."""
    insert_row(tx, tokens, token)


def put_token(tx: Tx, token: Token) -> None:
    """Replace the credential of this digest."""
    insert_or_replace(tx, tokens, token)


def get_token(tx: Tx, digest: bytes) -> Token | None:
    """The credential with this digest."""
    mine = tokens.c.digest == digest  # not secret: SQL
    return fetch_one(tx, Token, sa.select(tokens).where(mine))


def list_tokens(tx: Tx, org: str, user_name: str = "") -> list[Token]:
    """The organization's credentials, or one user's, oldest first."""
    t = tokens.c
    chosen = sa.select(tokens).where(t.org == org)
    if user_name:
        chosen = chosen.where(t.user == user_name)
    return fetch_all(tx, Token, chosen.order_by(t.created_at, t.id))


def list_acting_tokens(tx: Tx, org: str) -> list[Token]:
    """Every credential that is for acting in an organization, its guests' too."""
    t = tokens.c
    at_home = sa.and_(t.org == org, t.acting == "")
    chosen = sa.select(tokens).where(sa.or_(at_home, t.acting == org))
    return fetch_all(tx, Token, chosen.order_by(t.created_at, t.id))


def delete_token(tx: Tx, org: str, token_id: str) -> bool:
    """End a credential; whether there was one."""
    gone = tx.execute(tokens.delete().where(tokens.c.org == org, tokens.c.id == token_id))
    return gone.rowcount > 0


def record_token_use(tx: Tx, digest: bytes, now: int) -> None:
    """Note that it was used."""
    mine = tokens.c.digest == digest  # not secret: SQL
    tx.execute(tokens.update().where(mine).values(seen_at=now))


def record_proof(
    tx: Tx, org: str, user_name: str, token_id: str, now: int, *, factor: bool
) -> None:
    """Store that its holder has confirmed their identity; `factor`: by the second factor."""
    t = tokens.c
    mine = t.org == org, t.user == user_name, t.id == token_id
    noted = {"proven_at": now, "factor_at": now} if factor else {"proven_at": now}
    tx.execute(tokens.update().where(*mine).values(noted))


def clear_factor_proof(tx: Tx, org: str, user_name: str) -> None:
    """The second factor that was shown is none any more: another one was not."""
    t = tokens.c
    tx.execute(tokens.update().where(t.org == org, t.user == user_name).values(factor_at=0))


def put_organization(tx: Tx, organization: Organization, now: int) -> None:
    """Replace the one of this id."""
    insert_or_replace(tx, organizations, organization)
    record_changes(tx, [demand_change(organization, now)])


def demand_change(organization: Organization, at: int) -> StateChange:
    """Whether it demands a second factor."""
    value = str(organization.second_factor).lower()
    return StateChange(
        org=organization.id, aspect=Aspect.SECOND_FACTOR, subject="", at=at, value=value
    )


def delete_tokens(tx: Tx, org: str, user_name: str) -> list[str]:
    """End every credential of a user; their ids. Its unused enrolment tokens end, too."""
    held = [token.id for token in list_tokens(tx, org, user_name)]
    end_enrolment_tokens(tx, org, user_name)
    tx.execute(tokens.delete().where(tokens.c.org == org, tokens.c.user == user_name))
    return held


def end_enrolment_tokens(tx: Tx, home: str, user_name: str, org: str = "") -> None:
    """End the unused enrolment tokens that an account has made.

    `org`: of this organization alone. The rows stay until they are deleted as expired.
    """
    t = ca_tokens.c
    made = [t.created_by == f"{home}/{user_name}", t.used_at.is_(None)]
    if org:
        made.append(t.org == org)
    tx.execute(ca_tokens.update().where(*made).values(expires_at=t.created_at))


def delete_expired_tokens(tx: Tx, now: int) -> int:
    """Remove what has expired; how many."""
    return tx.execute(tokens.delete().where(tokens.c.expires_at <= now)).rowcount


def get_failures(tx: Tx, org: str, name: str) -> tuple[int, int]:
    """How often a wrong password was given in a row, and when last."""
    t = login_failures.c
    row = tx.execute(sa.select(t.count, t.last_at).where(t.org == org, t.name == name)).first()
    return (0, 0) if row is None else (row[0], row[1])


def put_failures(tx: Tx, org: str, name: str, count: int, last_at: int) -> None:
    """Note it."""
    clear_failures(tx, org, name)
    tx.execute(login_failures.insert().values(org=org, name=name, count=count, last_at=last_at))


def clear_failures(tx: Tx, org: str, name: str) -> None:
    """Forget it."""
    t = login_failures.c
    tx.execute(login_failures.delete().where(t.org == org, t.name == name))


def delete_older_failures(tx: Tx, before: int) -> int:
    """Forget those that are older: names that somebody made up must not fill the disk."""
    return tx.execute(login_failures.delete().where(login_failures.c.last_at < before)).rowcount


def record_login(tx: Tx, org: str, name: str, now: int) -> None:
    """Note the time."""
    tx.execute(
        users.update().where(users.c.org == org, users.c.name == name).values(last_login=now)
    )
