"""`webhook`: each step is one signed POST of a JSON document to a service of the operator's.

The service is named by its origin in the agent's own configuration; a policy chooses among these
and cannot add one. A step goes to one address, over verified TLS, follows no redirect, and has one
deadline. Of an error's body nothing is read: it could repeat what was sent.
"""

import ssl
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import SOCK_STREAM, create_connection, getaddrinfo, socket
from typing import Annotated, Final, Literal, NamedTuple
from urllib.parse import urlsplit

import h11
import msgspec
from msgspec import Meta, Struct

from actors import World
from protocols import json_text
from vault.connections.deadline import Deadline
from vault.crypto.hmac import hmac_sha256
from vault.errors import SetupError
from vault.rotation.rotator import RotationContext, RotationError, RotatorKind, Step, Value
from vault.rotation.rotators.fields import connection_field
from vault.rotation.rotators.generated import GeneratedConfig, GeneratedRotator

MAX_DOCUMENT: Final = 64 * 1024
"""Bytes of a request's and of an answer's body."""
VERSION: Final = 1
MIN_KEY: Final = 32
"""Characters of `signing_key`: 128 bits in hex."""
_MAX_HEAD: Final = 16 * 1024
_PIECE: Final = 16 * 1024
_SECOND: Final = 10**9
_OK: Final = 200
_NO_CONTENT: Final = 204
_REDIRECTS: Final = range(300, 400)
_REFUSED: Final = frozenset({400, 401, 403, 404, 405, 410, 413, 415, 422})
"""A repetition of the same request meets the same answer."""


class WebhookConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of `webhook`. `settings` go to the service as they are.

    `create`: `local` makes the value here by `generated`; `target` asks the service for it.
    """

    url: Annotated[str, Meta(min_length=1, max_length=2048)]
    settings: dict[str, str] = {}
    create: Literal["local", "target"] = "local"
    generated: GeneratedConfig = GeneratedConfig()
    overlaps: bool = False
    """Whether the target accepts both values between apply and retire."""

    def __post_init__(self) -> None:
        _parse(self.url)


class _Target(NamedTuple):
    origin: str
    scheme: str
    host: str
    port: int
    path: str


class _Answer(Struct, frozen=True, forbid_unknown_fields=True):
    value: dict[str, str] | None = None


class WebhookRotator:
    """See `Rotator`. The connection has `signing_key`, and for a private authority `ca`."""

    def __init__(self, config: WebhookConfig, origins: Sequence[str], world: World) -> None:
        self._config = config
        self._origins = frozenset(origins)
        self._world = world

    def create(self, context: RotationContext, previous: Value) -> Value:
        """A value made here, or by the service, which changes nothing yet."""
        if self._config.create == "local":
            return GeneratedRotator(self._config.generated).create(context, previous)
        value = self._post(context, Step.CREATE, previous=previous)
        if not value:
            raise _bad_answer('{"value": {"field": "text"}}')
        return value

    def apply(self, context: RotationContext, value: Value) -> None:
        """Have the service change the target."""
        self._post_empty(context, Step.APPLY, value)

    def verify(self, context: RotationContext, value: Value) -> None:
        """Have the service log in."""
        self._post_empty(context, Step.VERIFY, value)

    def retire(self, context: RotationContext, value: Value) -> None:
        """Have the service end the old value."""
        self._post_empty(context, Step.RETIRE, value)

    def _post_empty(self, context: RotationContext, step: Step, value: Value) -> None:
        if self._post(context, step, value=value) is not None:
            raise _bad_answer("{} or no body")

    def _post(self, context: RotationContext, step: Step, **values: Value) -> dict[str, str] | None:
        target = _parse(self._config.url)
        if target.origin not in self._origins:
            raise RotationError(
                "webhook_not_allowed",
                f"{target.origin} is not among the webhooks of the agent's configuration: add it "
                "there, or choose another",
                is_final=True,
            )
        key = connection_field(context.connection, "signing_key")
        if len(key) < MIN_KEY:
            raise RotationError(
                "webhook_key", f"signing_key has fewer than {MIN_KEY} characters", is_final=True
            )
        body = msgspec.json.encode(
            {
                "version": VERSION,
                "step": step,
                "rotation": context.rotation,
                "fence": context.fence,
                "settings": self._config.settings,
                **{name: dict(value) for name, value in values.items()},
            }
        )
        if len(body) > MAX_DOCUMENT:
            raise RotationError(
                "webhook_request",
                f"value and settings have more than {MAX_DOCUMENT} bytes: shorten them",
                is_final=True,
            )
        stamp = str(self._world.wall() // _SECOND)
        headers = [
            ("Host", target.origin.partition("://")[2]),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Idempotency-Key", context.key(step)),
            ("Freehold-Timestamp", stamp),
            ("Freehold-Signature", sign(key, stamp, context.key(step), body)),
            ("Connection", "close"),
        ]
        deadline = Deadline(context.timeout, self._world.uptime)
        status, answer = _exchange(
            target, headers, body, context.connection.get("ca", ""), deadline
        )
        return _decode(status, answer)


def sign(key: str, stamp: str, idempotency_key: str, body: bytes) -> str:
    """`v1=` and the hex HMAC-SHA256 of stamp, idempotency key and body, joined by full stops.

    Neither of the first two holds one, so no two requests are signed as the same text.
    """
    message = f"{stamp}.{idempotency_key}.".encode() + body
    return "v1=" + hmac_sha256(key.encode(), message).hex()


def parse_origin(text: str) -> str:
    """An origin of the configuration. Raises `SetupError` (`webhook_origin`)."""
    try:
        target = _parse(text)
    except ValueError as error:
        raise SetupError("webhook_origin", f"a webhook in the configuration: {error}") from None
    if target.path != "/":
        raise SetupError("webhook_origin", f"a webhook is allowed by its origin: {target.origin}")
    return target.origin


def _parse(url: str) -> _Target:
    """The parts of a URL. Raises `ValueError` for all but https, and http to this machine."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    odd = any(not "!" <= c <= "~" or c == "\\" for c in url)
    if odd or not host or "@" in parts.netloc or parts.fragment:
        raise ValueError("the URL must have a host, in ASCII, and neither a user nor a fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ValueError("the URL must begin with https://")
    port = port or (443 if parts.scheme == "https" else 80)
    shown = f"[{host}]" if ":" in host else host
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Target(f"{parts.scheme}://{shown}:{port}", parts.scheme, host, port, path)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _resolve(target: _Target) -> str:
    """The first address, if all of them are allowed: a name leads to no metadata service.

    Private ones are: the configuration names the host. Loopback only by its own number.
    """
    try:
        found = [
            ip_address(str(entry[4][0]).partition("%")[0])
            for entry in getaddrinfo(target.host, target.port, type=SOCK_STREAM)
        ]
    except (OSError, UnicodeError):
        raise RotationError(
            "webhook_unreachable", f"{target.host} does not resolve: see its DNS entry"
        ) from None
    if not all(_is_allowed(each, target.host) for each in found):
        raise RotationError(
            "webhook_address",
            f"{target.host} resolves to an address that no webhook has (link-local, loopback, "
            "multicast or unspecified): correct its DNS entry",
        )
    return str(found[0])


def _is_allowed(address: IPv4Address | IPv6Address, host: str) -> bool:
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if inner is not None:
        return _is_allowed(inner, host)
    if address.is_loopback:
        return _is_loopback(host)
    return not (address.is_link_local or address.is_multicast or address.is_unspecified)


def _exchange(
    target: _Target,
    headers: list[tuple[str, str]],
    body: bytes,
    ca: str,
    deadline: Deadline,
) -> tuple[int, bytes]:
    """Status and body of the answer; the body is empty unless the status is 200."""
    try:
        with _connect(target, ca, deadline) as stream:
            wire = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
            request = h11.Request(method="POST", target=target.path, headers=headers)
            for event in (request, h11.Data(data=body), h11.EndOfMessage()):
                stream.settimeout(deadline.left())
                stream.sendall(wire.send(event) or b"")
            return _read(stream, wire, deadline)
    except TimeoutError:
        raise RotationError(
            "webhook_timeout", f"{target.origin} did not answer in time: see the service's log"
        ) from None
    except ssl.SSLError:
        raise RotationError(
            "webhook_tls",
            f"the certificate of {target.origin} is not trusted or TLS failed: give its authority "
            "as `ca` in the connection",
        ) from None
    except OSError:
        raise RotationError(
            "webhook_unreachable", f"{target.origin} cannot be reached: see whether it runs"
        ) from None
    except h11.RemoteProtocolError:
        raise RotationError(
            "webhook_protocol", f"{target.origin} did not answer in HTTP/1.1"
        ) from None


def _connect(target: _Target, ca: str, deadline: Deadline) -> socket:
    address = _resolve(target)
    stream = create_connection((address, target.port), timeout=deadline.left())
    if target.scheme == "http":
        return stream
    try:
        context = ssl.create_default_context(cadata=ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        stream.settimeout(deadline.left())
        return context.wrap_socket(stream, server_hostname=target.host)
    except BaseException:
        stream.close()
        raise


def _read(stream: socket, wire: h11.Connection, deadline: Deadline) -> tuple[int, bytes]:
    status, answer = 0, bytearray()
    while True:
        event = wire.next_event()
        if event is h11.NEED_DATA:
            stream.settimeout(deadline.left())
            wire.receive_data(stream.recv(_PIECE))
        elif isinstance(event, h11.Response):
            status = event.status_code
            if status != _OK:
                return status, b""
        elif isinstance(event, h11.Data):
            answer += event.data
            if len(answer) > MAX_DOCUMENT:
                raise RotationError(
                    "webhook_answer", f"the answer has more than {MAX_DOCUMENT} bytes"
                )
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(answer)


def _decode(status: int, answer: bytes) -> dict[str, str] | None:
    if status in _REDIRECTS:
        raise RotationError(
            "webhook_redirect",
            f"the service answered {status}: redirects are not followed, give its final address",
            is_final=True,
        )
    if status not in {_OK, _NO_CONTENT}:
        raise RotationError(
            "webhook_refused",
            f"the service answered {status}: its log says why",
            is_final=status in _REFUSED,
        )
    if not answer:
        return None
    try:
        return json_text.decode(answer, type=_Answer).value
    except (msgspec.MsgspecError, ValueError):
        raise _bad_answer("JSON with nothing but `value`") from None


def _bad_answer(shape: str) -> RotationError:
    return RotationError("webhook_answer", f"the service must answer {shape}")


def kind(origins: Sequence[str], world: World) -> RotatorKind[WebhookConfig]:
    """The kind, with the origins that the local configuration allows.

    Raises `SetupError` (`webhook_origin`).
    """
    allowed = [parse_origin(each) for each in origins]
    return RotatorKind(
        "webhook",
        WebhookConfig,
        lambda config: WebhookRotator(config, allowed, world),
        lambda config: config.overlaps,
    )
