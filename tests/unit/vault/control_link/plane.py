"""A control plane that talks to an uplink over a pipe."""

from collections.abc import Callable

import trio

from actors.testing import FakeWorld
from protocols.link import messages as m
from protocols.link.errors import LinkError, TransportError
from protocols.link.handshake import ChannelBinding
from protocols.link.limits import VERSIONS
from protocols.link.session import ClockReading, LinkSession, SessionConfig
from protocols.link.session_events import MessageReceived, MessagesAcknowledged, MessagesSkipped
from protocols.link.signing import Verifier, sha256
from protocols.link.transport import LinkTransport
from protocols.link_transport.memory import (
    MemoryInbox,
    MemoryOutbox,
    MemoryTransport,
    memory_transport_pair,
)
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
        self.versions = VERSIONS
        """Of the link, that it speaks."""
        self.sessions = 0
        self.session: LinkSession | None = None
        self.pipe: MemoryTransport | None = None
        self.tamper: Callable[[bytes], bytes] = lambda frame: frame
        self._stir = trio.Event()

    @property
    def applied(self) -> list[m.Message]:
        """The durable messages that were applied, in order."""
        return [message for _, message in self.inbox.applied]

    async def dial(self, nursery: trio.Nursery, held: AgentCredential) -> LinkTransport:
        """`connecting.Dialer`."""
        await trio.lowlevel.checkpoint()
        if self.away:
            raise TransportError("unreachable", "no connection to the control plane")
        client, server = memory_transport_pair(held.leaf, CONTROL_LEAF)
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

    async def serve(self, pipe: MemoryTransport, leaf: bytes) -> None:
        """One connection."""
        channel = ChannelBinding(
            org=ORG,
            vault=VAULT,
            agent_certificate=sha256(leaf),
            control_certificate=sha256(CONTROL_LEAF),
        )
        end = SessionConfig(
            channel=channel,
            signer=CONTROL_KEY,
            verifier=Verifier([AGENT_KEY.public]),
            nonce=fixed(f"nonce {self.sessions}"),
            outbox=await self.outbox.state(),
            cursor=await self.inbox.cursor(),
            versions=self.versions,
        )
        session = LinkSession.control(end, self._now())
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

    async def _listen(self, session: LinkSession, pipe: MemoryTransport) -> None:
        while not session.is_ended:
            frame = await pipe.receive()
            self.wire.append(frame)
            for event in session.receive_frame(frame, self._now()):
                match event:
                    case MessageReceived(id=0, message=message):
                        if not isinstance(message, m.Ping | m.Pong | m.Ack):
                            self.heard.append(message)
                    case MessageReceived() | MessagesSkipped() if self.deaf:
                        pass
                    case MessageReceived(id=id_, message=message):
                        await self.inbox.apply(session.peer_stream, id_, message)
                        session.mark_applied(id_)
                    case MessagesSkipped(last=last):
                        await self.inbox.apply(session.peer_stream, last, None)
                        session.mark_applied(last)
                    case MessagesAcknowledged(through=through):
                        await self.outbox.acknowledge(through)
                    case _:
                        pass
            self._stir.set()

    async def _write(self, session: LinkSession, pipe: MemoryTransport) -> None:
        while True:
            self._stir = trio.Event()
            session.tick(self._now())
            while room := session.window_room:
                batch = await self.outbox.read(session.last_sent, room)
                if batch.through == session.last_sent:
                    break
                session.send_batch(batch)
            for frame in session.take_frames(self._now()):
                await pipe.send(self.tamper(frame))
            if session.is_ended:
                return
            with trio.move_on_after(max(0.001, session.deadline - trio.current_time())):
                await self._stir.wait()

    def _now(self) -> ClockReading:
        return ClockReading(trio.current_time(), self.world.now() // 1_000_000)
