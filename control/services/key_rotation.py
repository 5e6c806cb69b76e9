"""Key-encryption keys of agents, from their reports: the generation, and whether a rotation is due.

Agents report `rotations` (how often the key was changed, in all) and `rotations_due`. The time of a
change is that of the first report of it. The count only grows: a lower one is ignored, so that an
agent that alternates between two has no new key each minute. A vault that was made anew, or
restored from a backup, is believed after a day.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from actors import World
from control.errors import NotFoundError
from control.model.history import UNKNOWN, Aspect, StateChange
from control.store import agents, history
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import DAY
from protocols.link.vocabulary import CounterName, GaugeName

MAX_SILENCE: Final = 90 * DAY
"""Who was away for longer is not let in without a person (`return_within`), so that no agent can
put on record a key for each hour since 1970."""
RESTART_WINDOW: Final = DAY
"""Until a generation below the last one is heard."""
_CHANGED: Final = str(CounterName.ROTATIONS)
_DUE: Final = str(GaugeName.ROTATIONS_DUE)


class KeyState(Struct, frozen=True):
    """The key of one agent. Times are Unix nanoseconds.

    `since`: when this generation was first reported; `exact`: the report before had another one, so
    that this is the key's age. `due_since`: 0 while no rotation is due.
    """

    vault: str
    generation: int
    since: int
    exact: bool
    due_since: int


def ingest_key_figures(
    tx: Tx, org: str, vault: str, at: int, figures: Mapping[str, float], *, now: int
) -> None:
    """Store what is new in the report; a report without these figures changes nothing.

    `at`: the agent's time of the report, at most `now`, and not before it can have been linked.
    """
    if _CHANGED not in figures:
        return
    generation = int(figures[_CHANGED]) + 1
    at = min(max(at, now - MAX_SILENCE), now)
    last = history.newest_change(tx, org, Aspect.KEY, vault)
    if last is not None and generation < int(last.value) and at - last.at < RESTART_WINDOW:
        return
    turn = StateChange(
        org=org, aspect=Aspect.KEY, subject=vault, at=at,
        value=str(generation), detail={"due": bool(figures.get(_DUE, 0))}, before=UNKNOWN,
    )  # fmt: skip
    if last is None or (last.value, last.detail) != (turn.value, turn.detail):
        history.record_changes(tx, [turn])


def key_state_of(vault: str, turns: Sequence[StateChange]) -> KeyState:
    """The state that follows from its changes (in order, at least one)."""
    last = turns[-1]
    first = last
    due = last.at if last.detail["due"] else 0
    for turn in reversed(turns):
        if turn.value != last.value:
            return KeyState(vault, int(last.value), first.at, exact=True, due_since=due)
        first = turn
        if due and turn.detail["due"]:
            due = turn.at
    return KeyState(vault, int(last.value), first.at, exact=False, due_since=due)


class KeyRotation:
    """Lists key states."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world

    async def list_key_states(self, org: str, vault: str) -> list[KeyState]:
        """The keys of every agent that reports them (or of this one), by name.

        Raises `NotFoundError`.
        """
        now = self._world.now()

        def find(tx: Tx) -> dict[str, list[StateChange]]:
            if vault and agents.get_agent(tx, org, vault) is None:
                raise NotFoundError("not_found", "there is no such agent")
            return history.changes_between(tx, org, Aspect.KEY, 0, now + 1)

        found = await self._store.read(find)
        return [
            key_state_of(name, turns)
            for name, turns in sorted(found.items())
            if vault in ("", name)
        ]
