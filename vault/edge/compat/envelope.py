"""The envelope of every answer, as the clients decode it."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from vault.edge.reply import NO_CONTENT, Reply
from vault.edge.request import Request

NO_CONTENT_REPLY: Final = Reply(NO_CONTENT)
_encode: Final = msgspec.json.Encoder().encode


class Envelope(Struct, frozen=True, kw_only=True):
    """The keys that every answer has, in OpenBao's order."""

    request_id: str
    lease_id: str = ""
    renewable: bool = False
    lease_duration: int = 0  # seconds
    data: Any = None
    wrap_info: Any = None
    warnings: list[str] | None = None
    auth: Any = None


class Errors(Struct, frozen=True):
    """The body of every error."""

    errors: list[str]


def plain_reply(body: object, status: int = 200) -> Reply:
    """A JSON answer outside of the envelope: the routes that need no token have such."""
    return Reply(status, _encode(body))


def data_reply(request: Request, data: object, *, status: int = 200, **more: Any) -> Reply:
    """`data` in the envelope; `more` are other keys of it."""
    return Reply(status, _encode(Envelope(request_id=request.id, data=data, **more)))


def system_reply(request: Request, data: dict[str, Any], **more: Any) -> Reply:
    """As `sys/` answers: the keys of `data` stand beside the envelope's own, too."""
    envelope = msgspec.to_builtins(Envelope(request_id=request.id, data=data, **more))
    return Reply(200, _encode({**data, **envelope}))


def warnings_reply(request: Request, warnings: list[str]) -> Reply:
    """Done with a remark, or simply done."""
    return data_reply(request, None, warnings=warnings) if warnings else NO_CONTENT_REPLY


def errors_reply(status: int, *messages: str) -> Reply:
    """An error; no message is how absence is told."""
    return Reply(status, _encode(Errors(list(messages))))
