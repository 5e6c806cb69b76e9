"""What the simulation must find: the product with one of its safeguards removed.

Each breaks one line, for the length of a `with` block.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Final

from msgspec.structs import replace

from control.ca import renewal
from control.ca.revocation import AdmittedPeer, Revocation
from control.gateway.agent_connection import AgentConnection
from control.services import witness
from control.services.agent_messages import AgentMessages, BundleStatusReport
from protocols.link import backoff
from protocols.link.delivery import DurableSender
from protocols.link.envelope import Envelope
from protocols.link.errors import Fault, RemoteFaultError
from protocols.link.messages import Message
from protocols.link.session import SequenceGuard
from protocols.link.session_events import MessageReceived
from protocols.link.signing import Verifier
from protocols.link_transport.memory import MemoryInbox
from protocols.pki.chain import VerifiedAgent as Peer
from tests.simulation.observing import replaced
from tests.simulation.owner import Owner
from vault.control_link import commands, inbox, outbox
from vault.control_link.egress_ledger import EgressLedger

Sabotage = Callable[[], AbstractContextManager[None]]


def inbox_without_memory() -> AbstractContextManager[None]:
    """Whatever comes is applied, also a second time."""

    async def apply(
        self: MemoryInbox, stream: bytes, through: int, message: Message | None
    ) -> bool:
        self.stream, self.through = stream, through
        return True

    return replaced(MemoryInbox, "apply", apply)


def sequence_with_gaps() -> AbstractContextManager[None]:
    """A later frame than the next one is taken."""

    def check(self: SequenceGuard, envelope: Envelope, now_ms: int) -> None:
        if envelope.vault_id != self._vault or envelope.session != self._session:
            raise RemoteFaultError(Fault.SESSION, "another session")
        if envelope.seq < self._seq:
            raise RemoteFaultError(Fault.SEQUENCE, "an earlier frame")
        self._seq = envelope.seq + 1

    return replaced(SequenceGuard, "check_frame", check)


def sender_from_the_start() -> AbstractContextManager[None]:
    """A new session sends all again, whatever the peer has applied."""
    before = DurableSender.__init__

    def init(self: DurableSender, *args: Any) -> None:
        before(self, *args)
        self.sent = 0

    return replaced(DurableSender, "__init__", init)


def signatures_unchecked() -> AbstractContextManager[None]:
    """Anybody's frame is the peer's."""
    return replaced(Verifier, "verify", lambda *_: True)


def acknowledged_early() -> AbstractContextManager[None]:
    """What was received is acknowledged before it is durable."""
    before = Owner._handle

    async def handle(self: Owner, session: Any, event: Any) -> None:
        if isinstance(event, MessageReceived) and event.id:
            self._applied(session, event.id)
            self.tell()
        await before(self, session, event)

    return replaced(Owner, "_handle", handle)


def cursor_put_back() -> AbstractContextManager[None]:
    """An effect stores the link's row as it was before its cursor moved (a bug that was)."""
    before = AgentMessages.effect_of

    def effect(self: AgentMessages, message: Message) -> Any:
        inner = before(self, message)
        if isinstance(inner, BundleStatusReport):
            return inner
        return lambda tx, link: inner(tx, replace(link, applied=link.applied - 1))

    return replaced(AgentMessages, "effect_of", effect)


def merged_though_offered() -> AbstractContextManager[None]:
    """Evidence is merged although the other end may have it already (a bug that was)."""
    before = outbox._merge
    return replaced(outbox, "_merge", lambda tx, _: before(tx, 0))


def gateway_acknowledges_early() -> AbstractContextManager[None]:
    """The control plane acknowledges before its database has it."""
    before = AgentConnection._handle_event

    async def meet(self: AgentConnection, event: Any) -> None:
        if isinstance(event, MessageReceived) and event.id:
            self._mark_applied(event.id)
            self._wake.set()
        await before(self, event)

    return replaced(AgentConnection, "_handle_event", meet)


def witness_signs_anything() -> AbstractContextManager[None]:
    """Whatever log an agent shows is cosigned."""
    return replaced(witness, "find_contradiction", lambda *_: None)


def sent_though_unrecorded() -> AbstractContextManager[None]:
    """What the disk of the egress ledger refuses is sent all the same."""

    def told(_: EgressLedger, work: Callable[[], None]) -> None:
        with suppress(OSError):
            work()

    return replaced(EgressLedger, "_told", told)


@contextmanager
def staged_twice() -> Iterator[None]:
    """The agent's inbox does not look at its cursor, and each message comes to it twice."""
    once = inbox.SqlInbox.apply

    async def twice(self: Any, *told: Any) -> bool:
        await once(self, *told)
        return await once(self, *told)

    def apply(tx: Any, stream: bytes, through: int, message: Message | None) -> bool:
        if message is not None:
            inbox._stage(tx, message)
        tx.execute("INSERT OR REPLACE INTO inbox VALUES (1, ?, ?)", [stream, through])
        return True

    with replaced(inbox.SqlInbox, "apply", twice), replaced(inbox, "_apply", apply):
        yield


def command_run_again() -> AbstractContextManager[None]:
    """What was begun when the agent was stopped is taken for new."""
    before = commands._open
    return replaced(commands, "_open", lambda tx: [(*row[:3], "new") for row in before(tx)])


def renewed_beside_a_thief() -> AbstractContextManager[None]:
    """Whatever certificate of an agent is shown, the next one can follow on it."""
    return replaced(renewal, "_may_follow", lambda *_: True)


def admitted_beside_a_thief() -> AbstractContextManager[None]:
    """No certificate is too old for a session."""
    before = Revocation.admit_peer

    async def admit(self: Revocation, peer: Peer) -> AdmittedPeer:
        return (await before(self, peer))._replace(outdated=False)

    return replaced(Revocation, "admit_peer", admit)


def return_without_jitter() -> AbstractContextManager[None]:
    """Whoever lost the control plane at the same moment comes back at the same moment."""
    before = backoff.reconnect_delay
    return replaced(
        backoff, "reconnect_delay", lambda attempt, _, *more: before(attempt, 0.5, *more)
    )


OF_THE_LINK: Final[dict[str, Sabotage]] = {
    "inbox_without_memory": inbox_without_memory,
    "sequence_with_gaps": sequence_with_gaps,
    "sender_from_the_start": sender_from_the_start,
    "signatures_unchecked": signatures_unchecked,
    "acknowledged_early": acknowledged_early,
}
OF_THE_HALVES: Final[dict[str, Sabotage]] = {
    "cursor_put_back": cursor_put_back,
    "merged_though_offered": merged_though_offered,
    "gateway_acknowledges_early": gateway_acknowledges_early,
    "witness_signs_anything": witness_signs_anything,
    "sent_though_unrecorded": sent_though_unrecorded,
    "staged_twice": staged_twice,
    "command_run_again": command_run_again,
    "renewed_beside_a_thief": renewed_beside_a_thief,
    "admitted_beside_a_thief": admitted_beside_a_thief,
    "return_without_jitter": return_without_jitter,
}
