"""History of states (presence, roles): begun where a row has none, old entries deleted."""

from functools import partial
from typing import Final

from msgspec.structs import replace

from actors import World
from control.model.history import NO_VALUE, UNKNOWN, StateChange
from control.store import agents, history, members, people, policies
from control.store import compliance_queries as reads
from control.store.ca_store import certificate_turn
from control.store.rows import Tx
from control.store.store import Store

ORGANIZATIONS_PAGE: Final = 100  # organizations of one look
BATCH: Final = 5000  # turns of one transaction
MAX_BATCHES: Final = 50  # of one sweep
MAX_USERS: Final = 100_000  # accounts of one organization


class StateHistory:
    """`retention`: nanoseconds; entries that ended before that are deleted."""

    def __init__(self, store: Store, retention: int, world: World) -> None:
        self._store = store
        self._kept = retention
        self._world = world

    async def record_missing(self) -> None:
        """Begin the history of every row without one: all of them after an upgrade."""
        after, now = "", self._world.now()
        while page := await self._store.read(
            partial(people.list_organizations, after=after, limit=ORGANIZATIONS_PAGE)
        ):
            for row in page:
                if await self._store.read(partial(_unrecorded, org=row.id, now=now)):
                    await self._store.write(partial(_begin, org=row.id, now=now))
            after = page[-1].id

    async def delete_older(self) -> None:
        """Delete entries older than the settings keep, except under a legal hold."""
        before = self._world.now() - self._kept
        for _ in range(MAX_BATCHES):
            if (
                await self._store.write(lambda tx: history.delete_older_changes(tx, before, BATCH))
                < BATCH
            ):
                return


def _begin(tx: Tx, org: str, now: int) -> None:
    history.record_changes(tx, _unrecorded(tx, org, now))


def _unrecorded(tx: Tx, org: str, now: int) -> list[StateChange]:
    there = history.unrecorded_changes(tx, [*_of_people(tx, org, now), *_of_agents(tx, org, now)])
    return [*there, *_disabled(tx, org, now)]


def _disabled(tx: Tx, org: str, now: int) -> list[StateChange]:
    """Guests that are disabled at home, for which an earlier release stored a role."""
    turns = [members.guest_role_change(tx, guest, now) for guest in members.list_guests(tx, org)]
    gone = [turn for turn in turns if turn.value == NO_VALUE]
    last = [(turn, history.newest_change(tx, org, turn.aspect, turn.subject)) for turn in gone]
    return [turn for turn, newest in last if newest is not None and newest.value != NO_VALUE]


def _of_people(tx: Tx, org: str, now: int) -> list[StateChange]:
    row = people.get_organization(tx, org)
    accounts = people.list_users(tx, org, "", MAX_USERS)
    guests = members.list_guests(tx, org)
    return [
        *([] if row is None else [_unknown(people.demand_change(row, now))]),
        *(_since(people.role_change(user), user.created_at) for user in accounts),
        *(_unknown(members.guest_role_change(tx, guest, now)) for guest in guests),
    ]


def _of_agents(tx: Tx, org: str, now: int) -> list[StateChange]:
    found = []
    for agent in reads.list_agents(tx, org):
        life, presence = agents.state_changes_of(agent)
        found += [_since(life, agent.created_at), _unknown(replace(presence, at=now))]
    issued = reads.newest_certificates(tx, org).values()
    bundles = reads.signed_assignments(tx, org)
    found += [_unknown(certificate_turn(each)) for each in issued]
    return found + [_unknown(policies.policy_change(bundle)) for bundle in bundles]


def _since(turn: StateChange, created: int) -> StateChange:
    """The start of the state: creation for a row that was never changed, else its last change."""
    return turn if turn.at == created else _unknown(turn)


def _unknown(turn: StateChange) -> StateChange:
    return replace(turn, before=UNKNOWN)
