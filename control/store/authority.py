"""What an account may do in an organization now."""

import sqlalchemy as sa

from control.ca.store import JoinState
from control.model.people import PLATFORM, Role
from control.model.policies import RolloutState
from control.store.members import get_membership
from control.store.people import get_user
from control.store.policies import rollout_owner
from control.store.rows import Tx
from control.store.tables import ca_joins, channels, report_schedules, rollouts


def role_in(tx: Tx, org: str, account: str, since: int | None = None) -> Role | None:
    """The role of an account, `organization/name`, or None: removed, disabled, no member.

    `since`: an account or membership of the same name that was made later is somebody else's.
    """
    home, _, name = account.partition("/")
    found = get_user(tx, home, name)
    if found is None or found.disabled or (since is not None and found.created_at > since):
        return None
    if home == org or (home == PLATFORM and found.role is Role.OWNER):
        return found.role
    guest = get_membership(tx, org, home, name)
    if guest is None or (since is not None and guest.created_at > since):
        return None
    return guest.role


def accounts_relied_on(tx: Tx) -> set[str]:
    """Accounts by whose authority something acts: a channel, a schedule, a roll-out, an approval.

    Each as `organization/name`.
    """
    c, s, r, j = channels.c, report_schedules.c, rollouts.c, ca_joins.c
    chosen = sa.union(
        sa.select(c.owner).where(c.suspended == ""),
        sa.select(s.owner).where(s.suspended == ""),
        sa.select(rollout_owner()).where(r.state == RolloutState.RUNNING),
        sa.select(j.decided_by).where(j.state == JoinState.APPROVED),
    )
    return {account for account in tx.execute(chosen).scalars() if account}
