"""A control plane that talks to an uplink over a pipe."""

from collections.abc import Callable

import trio

from actors.testing import FakeWorld
from protocols.link import messages as m
from protocols.link.ends import End, Moment
from protocols.link.errors import LinkError, PipeError
from protocols.link.events import Acknowledged, Missed, Received
from protocols.link.handshake import Channel
from protocols.link.memory import MemoryInbox, MemoryOutbox, MemoryPipe, pipe_pair
from protocols.link.pipe import Pipe
from protocols.link.session import Session
from protocols.link.signing import Verifier, sha256
from tests.unit.vault.control_link.samples import (
    AGENT_KEY,
    CONTROL_KEY,
    CONTROL_LEAF,
    ORG,
    VAULT,
    fixed,
)
from vault.control_link.identity import AgentCredential


class Plane:
    """A control plane: honest unless told, remembers what it applied, can be cut off."""

    def __init__(self, world: FakeWorld) -> None:
        self.world = world
        self.outbox = MemoryOutbox(fixed("control stream"))
        self.inbox = MemoryInbox()
        self.heard: list[m.Message] = []
        """Messages that were not durable, but for pings."""
        self.wire: list[bytes] = []
        """Every frame that came."""
        self.away = False
        self.deaf = False
        """Whether nothing that is owed to it is applied or acknowledged."""
        self.sessions = 0
        self.session: Session | None = None
        self.pipe: MemoryPipe | None = None
        self.tamper: Callable[[bytes], bytes] = lambda frame: frame
        self._stir = trio.Event()

    @property
    def applied(self) -> list[m.Message]:
        """The durable messages that were applied, in order."""
        return [message for _, message in self.inbox.applied]

    async def dial(self, nursery: trio.Nursery, held: AgentCredential) -> Pipe:
        """`connecting.Dialer`."""
        await trio.lowlevel.checkpoint()
        if self.away:
            raise PipeError("unreachable", "no connection to the control plane")
        client, server = pipe_pair(held.leaf, CONTROL_LEAF)
        nursery.start_soon(self.serve, server, held.leaf)
        return client

    async def push(self, message: m.Message) -> int:
        """Owe the agent a message."""
        id_ = await self.outbox.append(message)
        self._stir.set()
        return id_

    def cut(self) -> None:
        """The connection breaks, without a word."""
        assert self.pipe is not None
        self.pipe._send.close()
        self.pipe._receive.close()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something of this plane to become true."""
        while not holds():  # noqa: ASYNC110  # on a clock that jumps
            await trio.sleep(0.1)

    async def serve(self, pipe: MemoryPipe, leaf: bytes) -> None:
        """One connection."""
        channel = Channel(
            org=ORG,
            vault=VAULT,
            agent_certificate=sha256(leaf),
            control_certificate=sha256(CONTROL_LEAF),
        )
        end = End(
            channel=channel,
            signer=CONTROL_KEY,
            verifier=Verifier([AGENT_KEY.public]),
            nonce=fixed(f"nonce {self.sessions}"),
            outbox=await self.outbox.state(),
            cursor=await self.inbox.cursor(),
        )
        session = Session.control(end, self._now())
        self.session, self.pipe = session, pipe
        self.sessions += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, session, pipe)
                await self._write(session, pipe)
                nursery.cancel_scope.cancel()
        except* (LinkError, trio.ClosedResourceError):
            pass  # the agent comes back
        finally:
            with trio.CancelScope(shield=True):
                await pipe.aclose()

    async def _listen(self, session: Session, pipe: MemoryPipe) -> None:
        while not session.ended:
            frame = await pipe.receive()
            self.wire.append(frame)
            for event in session.receive(frame, self._now()):
                match event:
                    case Received(id=0, message=message):
                        if not isinstance(message, m.Ping | m.Pong | m.Ack):
                            self.heard.append(message)
                    case Received() | Missed() if self.deaf:
                        pass
                    case Received(id=id_, message=message):
                        await self.inbox.apply(session.peer_stream, id_, message)
                        session.applied(id_)
                    case Missed(last=last):
                        await self.inbox.apply(session.peer_stream, last, None)
                        session.applied(last)
                    case Acknowledged(through=through):
                        await self.outbox.acknowledge(through)
                    case _:
                        pass
            self._stir.set()

    async def _write(self, session: Session, pipe: MemoryPipe) -> None:
        while True:
            self._stir = trio.Event()
            session.tick(self._now())
            while room := session.room:
                batch = await self.outbox.read(session.sent, room)
                if batch.through == session.sent:
                    break
                session.offer(batch)
            for frame in session.frames(self._now()):
                await pipe.send(self.tamper(frame))
            if session.ended:
                return
            with trio.move_on_after(max(0.001, session.deadline - trio.current_time())):
                await self._stir.wait()

    def _now(self) -> Moment:
        return Moment(trio.current_time(), self.world.now() // 1_000_000)
