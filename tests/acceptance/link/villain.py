"""A control plane that was taken over: it has every key of the real one, and means ill.

It speaks the protocol by hand, to the byte, and keeps all that an agent tells it.
"""

import base64
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import trio
from cryptography.x509.oid import NameOID

from actors.world import SystemWorld
from control.ca.directory import CaDirectory
from protocols.link import codec
from protocols.link import messages as m
from protocols.link.bundle import Bundle, PolicyKey, sign_bundle
from protocols.link.delivery import OutboxBatch, OutboxEntry, OutboxState
from protocols.link.envelope import Envelope
from protocols.link.errors import TransportError
from protocols.link.fields import SIGNATURE_SIZE
from protocols.link.handshake import ChannelBinding
from protocols.link.session import ClockReading, LinkSession, SessionConfig, seal_frame
from protocols.link.session_events import MessageReceived, SessionOpened
from protocols.link.signing import LinkKey, Verifier, sha256
from protocols.link_transport.https_request import HttpRequest, HttpResponse
from protocols.link_transport.network import serve
from protocols.link_transport.tls_contexts import server_context
from protocols.link_transport.websocket import WebSocketTransport
from protocols.pki.authority import IssuingAuthority
from protocols.pki.ceremony import create_root, sign_intermediate
from protocols.pki.certificates import parse_pem_chain, to_der
from protocols.pki.chain import read_agent
from protocols.pki.issuance import issue_agent
from protocols.pki.keys import KeyKind, load_signing_key, new_curve_key
from protocols.pki.messages import Grant, RenewRequest, decode_request, encode_message
from protocols.pki.requests import create_authority_csr, verify_csr

WORLD = SystemWorld()
MILLI = 10**6
STREAM = os.urandom(16)
VAULT = "prey"


def now() -> ClockReading:
    """The real time."""
    return ClockReading(trio.current_time(), WORLD.now() // MILLI)


@dataclass
class Villain:
    """Everything that the control plane's folder and an agent's public key give."""

    folder: Path
    agent_link_key: bytes
    heard: list[m.Message] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)
    """Every byte of every frame that an agent has sent."""
    ends: list[str] = field(default_factory=list)
    """Why each connection was over."""
    said: int = 0
    applied: int = 0
    peer: bytes = bytes(16)
    live: "Grip | None" = None
    acknowledges: bool = True
    """Else it takes all that it hears, and owns to none of it."""
    crowned: bool = False
    """Whether it grants certificates of a root of its own, instead of the real one's."""
    grants: int = 0

    def __post_init__(self) -> None:
        """The stolen keys."""
        self.link_key = LinkKey(load_signing_key(self.folder / "keys" / "link.pem"))
        self.policy_key = PolicyKey(load_signing_key(self.folder / "keys" / "policy.pem"))
        directory = CaDirectory(self.folder / "ca")
        identity = directory.issue_server_certificate(["127.0.0.1"], WORLD.now())
        self.context = server_context(identity, directory.issuing_state().trust)
        self.leaf = to_der(parse_pem_chain(identity.chain.read_bytes())[0])
        self.honest = directory.issuing_state().authority
        self.own = self._crown()

    async def listen(self, nursery: trio.Nursery, port: int) -> None:
        """Where the real one was."""
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
        await serve(
            nursery,
            self._attend,
            listeners,
            lambda: self.context,
            report=self._report,
            answer=self._renew,
        )

    def bundle(self, version: int, prev: bytes, *rules: Any, **changes: Any) -> bytes:
        """Signed as the real one would; `rules` are documents, as JSON or as they are."""
        fields: dict[str, Any] = {
            "org": "acme",
            "vault": VAULT,
            "version": version,
            "prev_hash": prev,
            "not_before": 0,
            "expires": WORLD.now() // MILLI + 86_400_000,
            "rules": tuple(r if isinstance(r, bytes) else msgspec.json.encode(r) for r in rules),
        }
        return sign_bundle(Bundle(**{**fields, **changes}), self.policy_key)

    def raw_bundle(self, **changes: Any) -> bytes:
        """Signed by the policy key, whatever it says: no check of ours stands in the way."""
        data = self.bundle(1, bytes(32))[SIGNATURE_SIZE:]
        fields = {**msgspec.msgpack.decode(data), **changes}
        packed = msgspec.msgpack.encode(fields, order="sorted")
        return self.policy_key.sign(packed) + packed

    def last(self, kind: type[m.Message]) -> Any:
        """The newest of a kind."""
        return next((x for x in reversed(self.heard) if isinstance(x, kind)), None)

    async def grip(self) -> "Grip":
        """The session that is open, once there is one."""
        await self.until(lambda: self.live)
        assert self.live is not None
        return self.live

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait for something that the agent does."""
        with trio.fail_after(30):
            while True:
                if holds():
                    return
                await trio.sleep(0.02)

    async def _attend(self, pipe: WebSocketTransport) -> None:
        name = read_agent(pipe.peer_certificate).name
        channel = ChannelBinding(
            org=name.org,
            vault=name.vault,
            agent_certificate=sha256(pipe.peer_certificate),
            control_certificate=sha256(self.leaf),
        )
        end = SessionConfig(
            channel=channel,
            signer=self.link_key,
            verifier=Verifier([self.agent_link_key]),
            nonce=os.urandom(16),
            outbox=OutboxState(STREAM, self.said, self.said),
            cursor=m.Cursor(stream=self.peer, applied=self.applied),
        )
        grip = Grip(self, pipe, LinkSession.control(end, now()))
        try:
            await grip.run()
        finally:
            if self.live is grip:
                self.live = None

    def _crown(self) -> IssuingAuthority:
        """An intermediate of a root that it made of the real intermediate's key and name."""
        stolen = self.honest
        name = stolen.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        root = create_root(stolen.key, str(name), WORLD.now())
        key = new_curve_key(KeyKind.AUTHORITY)
        request = create_authority_csr(key, "villain")
        return IssuingAuthority.verified(
            key, sign_intermediate(root, request, WORLD.now()), root.certificate
        )

    async def _renew(self, asked: HttpRequest) -> HttpResponse:
        """As the real one would, but for the authority."""
        authority = self.own if self.crowned else self.honest
        name = read_agent(asked.certificate or b"").name
        key = verify_csr(decode_request(RenewRequest, asked.body).csr)
        self.grants += 1
        leaf = issue_agent(authority, name, key, WORLD.now())
        grant = Grant(
            org=name.org,
            vault=name.vault,
            generation=1 + self.grants,
            chain=[to_der(leaf), to_der(authority.certificate)],
            roots=[to_der(authority.root)],
            cross=to_der(self.honest.certificate),
            link_key=self.link_key.public,
            policy_key=self.policy_key.public,
        )
        return HttpResponse(200, [(b"content-type", b"application/json")], encode_message(grant))

    def _report(self, error: BaseException) -> None:
        self.ends.append(str(error))


class Grip:
    """One session with an agent."""

    def __init__(self, villain: Villain, pipe: WebSocketTransport, session: LinkSession) -> None:
        self.villain = villain
        self.pipe = pipe
        self.session = session

    async def run(self) -> None:
        """Be honest about everything that the agent says; until it leaves."""
        while True:
            frame = await self.pipe.receive()
            self.villain.raw += frame
            for event in self.session.receive_frame(frame, now()):
                match event:
                    case SessionOpened():
                        self.villain.live = self
                        self.villain.peer = self.session.peer_stream
                    case MessageReceived(id=id_, message=message):
                        self.villain.heard.append(message)
                        if id_ and self.villain.acknowledges:
                            self.villain.applied = id_
                            self.session.mark_applied(id_)
                    case _:
                        pass
            await self._flush()

    async def gave(self, message: m.Message) -> bool:
        """A durable message, as the protocol wants it; false if the agent is gone."""
        after = self.villain.said
        entry = OutboxEntry(
            after + 1, codec.message_type_of(message), codec.encode_payload(message)
        )
        self.villain.said = entry.id
        self.session.send_batch(OutboxBatch(after, entry.id, (entry,)))
        try:
            await self._flush()
        except TransportError:
            self.villain.said = after
            if self.villain.live is self:
                self.villain.live = None
            return False
        return True

    def ping(self) -> bytes:
        """A good frame, the next one of the session, not sent."""
        self.session._pings += 1  # what a caller of the session cannot say, a villain can
        self.session._queue_message(m.Ping(number=self.session._pings))
        return self.session.take_frames(now())[-1]

    def forged(self, **changes: Any) -> bytes:
        """A good frame with another envelope, signed by the stolen key."""
        envelope = msgspec.structs.replace(
            codec.decode_struct(self.ping()[64:], Envelope), **changes
        )
        return seal_frame(envelope, m.Direction.TO_AGENT, self.villain.link_key)

    async def send(self, frames: list[bytes]) -> None:
        """As they are. Why the agent leaves meanwhile is for `run` to hear."""
        with suppress(TransportError):
            for frame in frames:
                await self.pipe.send(frame)

    async def _flush(self) -> None:
        for frame in self.session.take_frames(now()):
            await self.pipe.send(frame)


def spellings(value: str) -> list[bytes]:
    """How a value could lie in bytes."""
    plain = value.encode()
    return [plain, plain.hex().encode(), base64.b64encode(plain)[:-4], plain[::-1]]
