"""Brings candidates' questions to the agents that are linked here, whoever has asked them."""

import logging
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple, Protocol

from actors import World
from control.errors import ControlError
from control.model.replays import State
from control.services import replays
from control.store.rows import Tx
from control.store.store import Store
from protocols.link.messages import PolicyReplay
from protocols.pki.names import AgentName

AGENTS_PER_TRANSACTION: Final = (
    50  # agents of one transaction; a question has up to 192 KiB of rules
)

log: Final = logging.getLogger("freehold.control.gateway")


class ReplayTarget(Protocol):
    """What it needs of `control.gateway.agent_connection.AgentConnection`."""

    name: AgentName

    def send_replay(self, replay: PolicyReplay) -> bool:
        """See `AgentConnection`."""
        ...


class _Dispatched(NamedTuple):
    """A question that was asked, or that the agent is too old for."""

    vault: str
    id: str
    state: State


class ReplayDispatcher:
    """Of one process."""

    def __init__(self, store: Store, world: World) -> None:
        self._store = store
        self._world = world

    async def dispatch(self, linked: Iterable[ReplayTarget]) -> None:
        """Ask these agents what is to be asked of them. A database that is away is tried again."""
        by_org = sorted({agent.name: agent for agent in linked}.items())
        for org, group in groupby(by_org, key=lambda item: item[0].org):
            named = {name.vault: agent for name, agent in group}
            vaults = list(named)
            for start in range(0, len(vaults), AGENTS_PER_TRANSACTION):
                try:
                    await self._dispatch_some(
                        org, vaults[start : start + AGENTS_PER_TRANSACTION], named
                    )
                except ControlError as error:
                    log.warning("questions wait for the database: %s", error.code)

    async def _dispatch_some(
        self, org: str, vaults: list[str], named: dict[str, ReplayTarget]
    ) -> None:
        now = self._world.now()
        if not await self._store.read(partial(_has_pending, org, vaults, now)):
            return
        asked = await self._store.write(lambda tx: replays.pending_replays(tx, org, vaults, now))
        said = [
            _Dispatched(
                vault,
                question.replay_id.hex(),
                State.ASKED if named[vault].send_replay(question) else State.TOO_OLD,
            )
            for vault, question in asked
        ]
        await self._store.write(partial(_record_dispatched, org, said, now))


def _has_pending(org: str, vaults: Sequence[str], now: int, tx: Tx) -> bool:
    return replays.has_pending(tx, org, vaults, now)


def _record_dispatched(org: str, said: Sequence[_Dispatched], now: int, tx: Tx) -> None:
    for one in said:
        replays.record_state(tx, (org, one.id, one.vault), one.state, now)
