"""An identity source on this machine: keys, tokens that they sign, and a server that gives answers.

The server says what a test has it say: an answer, none, a slow one, one that never ends.
"""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11
import jwt
import trio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

GONE = object()
"""A claim that is left out."""

_KINDS: dict[str, Any] = {
    "RS256": (lambda: rsa.generate_private_key(65537, 2048), RSAAlgorithm),
    "ES256": (lambda: ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate, OKPAlgorithm),
}


class SigningKey:
    """A key of an issuer."""

    def __init__(self, kid: str = "k-1", algorithm: str = "ES256") -> None:
        make, self._kind = _KINDS[algorithm]
        self.kid = kid
        self.algorithm = algorithm
        self.private = make()

    def jwk(self, **changed: object) -> dict[str, Any]:
        """The public half, as an issuer publishes it."""
        public = self._kind.to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "use": "sig", "alg": self.algorithm, **changed}

    def pem(self) -> str:
        """The public half."""
        return str(
            self.private.public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        )

    def sign(self, claims: Mapping[str, Any], **header: object) -> str:
        """A token."""
        said = {name: value for name, value in claims.items() if value is not GONE}
        return jwt.encode(said, self.private, self.algorithm, headers={"kid": self.kid, **header})


def key_set(*keys: SigningKey) -> bytes:
    """Their public halves as a JSON Web Key Set."""
    return json.dumps({"keys": [key.jwk() for key in keys]}).encode()


@dataclass
class ReceivedRequest:
    """A request that a server was sent."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class PreparedReply:
    """An answer. `endless`: the body is repeated for ever. `late`: none, until the caller left."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    endless: bool = False
    late: bool = False


Handler = Callable[[ReceivedRequest], PreparedReply | Awaitable[PreparedReply]]


@dataclass
class SourceServer:
    """A running server. `answers` may be changed at any time."""

    address: str
    answers: dict[str, PreparedReply | Handler]
    heard: list[ReceivedRequest] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def source_server(
    answers: dict[str, PreparedReply | Handler], tls: tuple[Path, Path] | None = None
) -> AsyncIterator[SourceServer]:
    """A server on a port of its own, with these answers by path. `tls`: certificate and key."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    made = SourceServer(f"{'https' if tls else 'http'}://127.0.0.1:{port}", answers)
    serving: list[Any] = list(listeners)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        serving = [trio.SSLListener(each, context, https_compatible=True) for each in listeners]

    async def serve(stream: Any) -> None:
        made.connections += 1
        try:
            async with stream:
                await _serve(stream, made)
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            pass
        finally:
            made.connections -= 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, serving)
        yield made
        nursery.cancel_scope.cancel()


async def _serve(stream: Any, server: SourceServer) -> None:
    wire = h11.Connection(h11.SERVER)
    request: h11.Request | None = None
    body = b""
    while True:
        event = wire.next_event()
        if event is h11.NEED_DATA:
            wire.receive_data(await stream.receive_some(65536))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            break
        else:
            return
    assert request is not None
    heard = ReceivedRequest(
        request.method.decode(),
        request.target.decode(),
        {name.decode(): value.decode() for name, value in request.headers},
        body,
    )
    server.heard.append(heard)
    said = server.answers.get(heard.target.partition("?")[0], PreparedReply(404))
    if callable(said):
        made = said(heard)
        said = made if isinstance(made, PreparedReply) else await made
    while said.late:
        if not await stream.receive_some(65536):
            return
    length = {} if said.endless else {"Content-Length": str(len(said.body))}
    headers = [*{**length, "Connection": "close", **said.headers}.items()]
    await stream.send_all(wire.send(h11.Response(status_code=said.status, headers=headers)))
    while True:
        await stream.send_all(wire.send(h11.Data(data=said.body)) or b"")
        if not said.endless:
            break
    await stream.send_all(wire.send(h11.EndOfMessage()) or b"")
