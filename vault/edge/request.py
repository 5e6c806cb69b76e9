"""A request as a dialect sees it: bounded, decoded once, its path refused where it is ambiguous."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from protocols import json_text
from protocols.http.asgi import IDLE_REQUEST, RESERVATION
from vault.errors import MediaTypeError, TooLargeError, ValidationError
from vault.model.changes import IdleRequest
from vault.model.operation import UNBOUNDED_BUDGET, Origin, ResponseBudget, ServedState

COMMIT_HEADER: Final = b"x-vault-index"
"""The number of the commit that an answer has, or that a caller has seen. Vault Enterprise's name
for the same; its numbers look different, and clients pass them on as they are."""
MAX_QUERY_FIELDS: Final = 100
_MAX_DIGITS: Final = 18
MAX_USER_AGENT: Final = 256  # characters of a User-Agent that are kept
MAX_DEPTH: Final = 32  # of JSON; with the next, the memory bounds of `security.md`
MAX_STRINGS: Final = 10_000
MAX_BRACKETS: Final = 10_000  # opening ones, those inside strings included

_SINGLE_HEADERS: Final = (
    b"authorization", b"x-vault-token", b"origin", b"sec-fetch-site", b"x-session-key",
    b"x-vault-namespace", b"content-type",
)  # fmt: skip
_CREDENTIAL_HEADERS: Final = frozenset(_SINGLE_HEADERS[:5])  # who the caller is
_BROWSER_HEADERS: Final = frozenset({b"sec-fetch-site", b"sec-fetch-mode", b"origin"})
"""What browsers add to what pages have them send over TLS (Fetch Metadata; RFC 6454, 7)."""
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.?)*+(?:"|\Z)|[][{}]', re.DOTALL)
"""Strings are passed over whole; one that is not closed reaches to the end, so that no byte is
looked at twice: else each quote in it would begin another scan of the rest."""
_PLACE: Final = re.compile(r"(?P<what>[^`]+) - at `\$\.?(?P<field>[\w.\[\]]*)`", re.ASCII)
_CHOICE: Final = re.compile(r"^Invalid enum value .*(?= - at `\$)", re.DOTALL)
_BROKEN: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_STEP: Final = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}

T = TypeVar("T")
Receive = Callable[[], Awaitable[Any]]


class Request:
    """One HTTP request. Made of its head by `begin_request`; `read` adds what can be at fault."""

    __slots__ = (
        "body",
        "caught_up",
        "headers",
        "id",
        "idle",
        "memory",
        "method",
        "origin",
        "path",
        "place",
        "query",
        "reached_pipeline",
        "repeated_header",
        "served",
        "wrap_ttl",
    )  # fmt: skip

    def __init__(
        self,
        *,
        id: str,  # noqa: A002  # the field's name on the wire
        method: str,
        path: str = "",
        query: dict[str, str] | None = None,
        headers: dict[bytes, bytes],
        body: bytes = b"",
        origin: Origin,
        memory: ResponseBudget = UNBOUNDED_BUDGET,
        repeated_header: bytes = b"",
        idle: IdleRequest | None = None,
    ) -> None:
        """`repeated_header`: a header that may come once and has come more often; empty: none.

        `idle`: what it is while it waits for something to happen; None: it cannot wait.
        """
        self.idle = idle
        self.wrap_ttl = 0  # ns that the answer is to be wrapped for; 0: it is not
        self.place: str | None = None  # what its first operation is about
        self.repeated_header = repeated_header
        self.served = ServedState(required=_number(headers.get(COMMIT_HEADER, b"")))
        self.caught_up = False  # it has seen what was acknowledged before it
        self.reached_pipeline = (
            False  # for an operation: then the pipeline has authenticated and recorded it
        )
        self.id = id
        self.method = method
        self.path = path
        self.query = query or {}
        self.headers = headers
        self.body = body
        self.origin = origin
        self.memory = memory

    async def read(self, scope: Any, receive: Receive, *, max_body: int) -> None:
        """Read and check path, query and body.

        Raises `ValidationError` for a header that is given twice, an ambiguous path, a malformed
        query and a body that was cut short, `TooLargeError` for a body over `max_body`.
        """
        if self.repeated_header:
            # Whoever checked the request on its way may have looked at the other one.
            name = self.repeated_header.decode()
            raise ValidationError("header_invalid", f"{name} is given twice")
        self.path = _path(scope["raw_path"])
        self.query = _query(scope["query_string"])
        self.body = await _body(receive, max_body)

    @property
    def is_ambiguous(self) -> bool:
        """Whether its headers name more than one caller, so that none of them counts."""
        return self.repeated_header in _CREDENTIAL_HEADERS

    def header(self, name: bytes) -> str:
        """A header's value, empty when absent. Bytes outside ASCII are kept as Latin-1."""
        return self.headers.get(name, b"").decode("latin-1")

    def decode_json(self, shape: type[T]) -> T:
        """The body as `shape`; an empty body counts as `{}`. Raises `ValidationError`."""
        if self.body.count(b'"') > 2 * MAX_STRINGS:
            raise ValidationError("body_invalid", f"a body may hold at most {MAX_STRINGS} strings")
        _check_depth(self.body)
        try:
            return json_text.decode(self.body or b"{}", type=shape)
        except msgspec.ValidationError as error:
            raise ValidationError(
                "body_invalid", f"the body is not as expected: {validation_message(error)}"
            ) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ValidationError("body_malformed", "the body is not well-formed JSON") from None

    def require_media_type(self, media_type: str) -> None:
        """Raise `MediaTypeError` unless the body is labelled so; parameters are ignored."""
        if self.header(b"content-type").partition(";")[0].strip().lower() != media_type:
            raise MediaTypeError("media_type", f"the body must be labelled {media_type}")


def begin_request(scope: Any, *, request_id: str, dialect: str) -> Request:
    """Make a request of what an ASGI scope says of who sends it."""
    headers, repeated = _headers(scope["headers"])
    client = scope.get("client")
    tls = scope.get("extensions", {}).get("tls", {})
    origin = Origin(
        ip=client[0] if client else "",
        user_agent=_printable(headers.get(b"user-agent", b"").decode("latin-1"), MAX_USER_AGENT),
        dialect=dialect,
        peer_certificate=tls.get("peer_certificate"),
        by_browser=not _BROWSER_HEADERS.isdisjoint(headers),
    )
    return Request(
        id=request_id,
        method=scope["method"],
        headers=headers,
        origin=origin,
        memory=scope.get(RESERVATION) or UNBOUNDED_BUDGET,
        repeated_header=repeated,
        idle=scope.get(IDLE_REQUEST),
    )


def _number(text: bytes) -> int:
    """A number of a commit; 0 for what is none, as the states that other servers tell."""
    return int(text) if text.isdigit() and len(text) <= _MAX_DIGITS else 0


def _headers(pairs: list[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], bytes]:
    """The headers, and the first of `_SINGLE_HEADERS` that is given twice."""
    headers, repeated = dict(pairs), b""
    if len(headers) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next((name for name in _SINGLE_HEADERS if names.count(name) > 1), b"")
        if b"cookie" in headers:  # HTTP/2 sends it in pieces (RFC 9113, 8.2.3)
            headers[b"cookie"] = b"; ".join(value for name, value in pairs if name == b"cookie")
    return headers, repeated


def _printable(text: str, most: int) -> str:
    """What a client calls itself is recorded and shown: bounded, control characters as escapes.

    HTTP refuses those of ASCII; bytes above it are opaque (RFC 9110, 5.5) and may be others.
    """
    text = text[:most]
    if text.isprintable():
        return text
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(shown)[:most]


def _path(raw: bytes) -> str:
    """Decode once. A slash, backslash or NUL behind an escape is refused, whoever sent it."""
    if b"%" in raw:
        lowered = raw.lower()
        if b"%2f" in lowered or b"%5c" in lowered or b"%00" in lowered:
            raise ValidationError(
                "path_invalid", "encoded slashes and NUL are not allowed in a path", field="path"
            )
        if _BROKEN.search(raw):
            raise ValidationError(
                "path_invalid", "the path holds a broken percent-escape", field="path"
            )
        raw = unquote_to_bytes(raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ValidationError("path_invalid", "the path is not UTF-8", field="path") from None


def _query(raw: bytes) -> dict[str, str]:
    if not raw:
        return {}
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=MAX_QUERY_FIELDS,
            errors="strict",
        )
    except (ValueError, UnicodeDecodeError):
        raise ValidationError("query_invalid", "the query string is malformed") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValidationError("query_invalid", "a query parameter is given twice")
    return fields


async def _body(receive: Receive, limit: int) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ValidationError("body_cut", "the body ended before it was complete")
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise TooLargeError("body_too_large", f"a body may have at most {limit} bytes")
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


def _check_depth(body: bytes) -> None:
    """Bound the nesting before a decoder recurses into it."""
    brackets = body.count(b"{") + body.count(b"[")
    if brackets <= MAX_DEPTH:
        return
    if brackets > MAX_BRACKETS:  # before the loop: it would hold up everybody else
        raise ValidationError("body_invalid", f"a body may hold at most {MAX_BRACKETS} brackets")
    depth = 0
    for token in _BRACKETS.finditer(body):
        depth += _STEP.get(token[0], 0)
        if depth > MAX_DEPTH:
            raise ValidationError("body_invalid", f"JSON nests deeper than {MAX_DEPTH}")


def validation_message(error: msgspec.ValidationError) -> str:
    """What is wrong and where, without the value: of a wrong choice msgspec would quote it."""
    text = _CHOICE.sub("Value is not one of those allowed", str(error))
    if placed := _PLACE.fullmatch(text):
        what = placed["what"]
        return f"{placed['field'] or 'the whole'}: {what[:1].lower()}{what[1:]}"
    return text if "`$" in text or "Object" in text else "wrong type"
