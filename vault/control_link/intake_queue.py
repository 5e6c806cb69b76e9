"""What the control plane has sent and this agent has not applied yet, in its order.

An agent is to be asked, not to be filled: each command ends as a line of its outbox, its ledger
and its audit log, and only the control plane's acknowledgement takes it out of the first. So what
comes is applied while there is room for it (`vault.control_link.inbox`) and no faster than a
control plane needs. Until then it waits here, not applied and not acknowledged; after `WINDOW` of
them the control plane has to stop, by the link's own rule. Nothing is lost: what waits when the
connection ends is sent again.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Self, TypeAlias

import trio

from actors import World
from protocols.link.delivery import Inbox
from protocols.link.errors import InboxFullError
from protocols.link.messages import CheckpointCosignature
from protocols.link.session_events import MessageReceived, MessagesSkipped
from protocols.link.token_bucket import TokenBucket

MAX_BURST: Final = 512
"""Durable messages: twice what an honest control plane has waiting for one agent at most."""
REQUESTS_PER_MINUTE: Final = 20
"""From then on. A person who works on one agent's policies and commands stays below; commands that
come as fast as this for ever, and make the agent say 4 KB each, fill a file of the ledger in more
than an hour."""
COSIGNATURES_PER_MINUTE: Final = 120
"""Cosignatures: each answers a checkpoint, of which an agent can be set to make one a second."""
REPLAY_QUERIES_PER_MINUTE: Final = 60
"""Questions (`policy_replay`), and as many at once: an organization has 20 of them in ten minutes,
and a connection that is lost asks them again."""
STALL_TIMEOUT: Final = 60.0
"""Seconds without room until somebody is told: commands that run, and results that are on their
way to an honest control plane, take less."""
_MOMENT: Final = 0.001

IntakeItem: TypeAlias = MessageReceived | MessagesSkipped


class IntakeRates(NamedTuple):
    """How fast a control plane may be; of the agent, since a session is easily ended."""

    requests: TokenBucket
    cosignatures: TokenBucket
    replay_queries: TokenBucket

    @classmethod
    def unused(cls, now: float) -> Self:
        """All of them unused."""
        return cls(
            TokenBucket(MAX_BURST, REQUESTS_PER_MINUTE, now),
            TokenBucket(MAX_BURST, COSIGNATURES_PER_MINUTE, now),
            TokenBucket(REPLAY_QUERIES_PER_MINUTE, REPLAY_QUERIES_PER_MINUTE, now),
        )

    def rate_for(self, item: IntakeItem) -> TokenBucket:
        """What a durable message counts for."""
        cosigned = isinstance(item, MessageReceived) and isinstance(
            item.message, CheckpointCosignature
        )
        return self.cosignatures if cosigned else self.requests


class IntakeQueue:
    """Of one session."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        rates: IntakeRates,
        world: World,
        on_applied: Callable[[IntakeItem], Awaitable[None]],
        on_stalled: Callable[[], None],
        on_resumed: Callable[[], None],
    ) -> None:
        """`on_applied` is called for each applied item.

        `on_stalled` is called after `STALL_TIMEOUT`, then `on_resumed`.
        """
        self._inbox = inbox
        self._rates = rates
        self._world = world
        self._applied = on_applied
        self._stalled = on_stalled
        self._flowing = on_resumed
        self._stream = b""
        self._held: deque[IntakeItem] = deque()
        self._room = trio.Event()
        self._since = 0.0
        self._told = False

    async def receive(self, stream: bytes, item: IntakeItem) -> None:
        """Apply it now if it may be, else once it may: by `run`, after those before it."""
        self._stream = stream
        if self._held or await self._apply(item):
            self._hold(item)

    def notify_room(self) -> None:
        """There may be room now."""
        if self._held:
            self._room.set()

    async def run(self) -> None:
        """Apply what had to wait, until cancelled."""
        pause = float("inf")
        while True:
            with trio.move_on_after(pause):
                await self._room.wait()
            self._room = trio.Event()
            pause = float("inf")
            while self._held:
                if pause := await self._apply(self._held[0]):
                    self._look()
                    break
                self._held.popleft()
                self._since = self._world.monotonic()
                pause = float("inf")
                self._settle()

    def _hold(self, item: IntakeItem) -> None:
        if not self._held:
            self._since = self._world.monotonic()
        self._held.append(item)
        self._room.set()

    async def _apply(self, item: IntakeItem) -> float:
        """0 if it is applied now; else seconds after which to try again at the latest."""
        rate = self._rates.rate_for(item)
        if wait := rate.seconds_until_free(self._world.monotonic()):
            return max(_MOMENT, wait)
        last, message = (
            (item.id, item.message) if isinstance(item, MessageReceived) else (item.last, None)
        )
        try:
            await self._inbox.apply(self._stream, last, message)
        except InboxFullError:
            return STALL_TIMEOUT
        rate.try_consume(self._world.monotonic())
        await self._applied(item)
        return 0.0

    def _settle(self) -> None:
        if self._told and not self._held:
            self._told = False
            self._flowing()

    def _look(self) -> None:
        if not self._told and self._world.monotonic() - self._since >= STALL_TIMEOUT:
            self._told = True
            self._stalled()
