"""How things stood when: begun where nobody wrote it down before, and swept."""

from functools import partial
from typing import Final

from msgspec.structs import replace

from actors import World
from control.model.history import GONE, UNKNOWN, Turn
from control.store import agents, history, members, people, policies
from control.store import compliance_reads as reads
from control.store.ledger import certificate_turn
from control.store.rows import Tx
from control.store.store import Store

PAGE: Final = 100  # organizations of one look
BATCH: Final = 5000  # turns of one transaction
BATCHES: Final = 50  # of one sweep
EVERYBODY: Final = 100_000  # accounts of one organization


class History:
    """`kept`: nanoseconds; what held at no instant since then is swept."""

    def __init__(self, store: Store, kept: int, world: World) -> None:
        self._store = store
        self._kept = kept
        self._world = world

    async def begin(self) -> None:
        """Put on record what is there, of whatever has no record yet: after an upgrade, all."""
        after, now = "", self._world.now()
        while page := await self._store.read(
            partial(people.all_organizations, after=after, limit=PAGE)
        ):
            for row in page:
                if await self._store.read(partial(_unrecorded, org=row.id, now=now)):
                    await self._store.write(partial(_begin, org=row.id, now=now))
            after = page[-1].id

    async def sweep(self) -> None:
        """Remove what is older than the settings keep, but for what a legal hold covers."""
        before = self._world.now() - self._kept
        for _ in range(BATCHES):
            if await self._store.write(lambda tx: history.sweep(tx, before, BATCH)) < BATCH:
                return


def _begin(tx: Tx, org: str, now: int) -> None:
    history.note(tx, _unrecorded(tx, org, now))


def _unrecorded(tx: Tx, org: str, now: int) -> list[Turn]:
    there = history.unrecorded(tx, [*_of_people(tx, org, now), *_of_agents(tx, org, now)])
    return [*there, *_disabled(tx, org, now)]


def _disabled(tx: Tx, org: str, now: int) -> list[Turn]:
    """Guests who may do nothing, and of whom an earlier release wrote down that they may."""
    turns = [members.guest_turn(tx, guest, now) for guest in members.members_of(tx, org)]
    gone = [turn for turn in turns if turn.value == GONE]
    last = [(turn, history.newest(tx, org, turn.aspect, turn.subject)) for turn in gone]
    return [turn for turn, newest in last if newest is not None and newest.value != GONE]


def _of_people(tx: Tx, org: str, now: int) -> list[Turn]:
    row = people.organization(tx, org)
    accounts = people.users_of(tx, org, "", EVERYBODY)
    guests = members.members_of(tx, org)
    return [
        *([] if row is None else [_unknown(people.demand_turn(row, now))]),
        *(_since(people.role_turn(user), user.created_at) for user in accounts),
        *(_unknown(members.guest_turn(tx, guest, now)) for guest in guests),
    ]


def _of_agents(tx: Tx, org: str, now: int) -> list[Turn]:
    found = []
    for agent in reads.agents_of(tx, org):
        life, presence = agents.turns_of(agent)
        found += [_since(life, agent.created_at), _unknown(replace(presence, at=now))]
    issued = reads.newest_certificates(tx, org).values()
    bundles = reads.signed_of(tx, org)
    found += [_unknown(certificate_turn(each)) for each in issued]
    return found + [_unknown(policies.policy_turn(bundle)) for bundle in bundles]


def _since(turn: Turn, created: int) -> Turn:
    """A row that was never changed tells all; of another one only its last change is known."""
    return turn if turn.at == created else _unknown(turn)


def _unknown(turn: Turn) -> Turn:
    return replace(turn, before=UNKNOWN)
