"""What a browser may ask for. Pure."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from protocols import json_text
from protocols.live.limits import MAX_ID, MAX_REQUEST

Number = Annotated[int, Meta(ge=0, le=MAX_ID)]
TopicWord = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\A[a-z0-9-]+\Z")]


class WatchRequestError(Exception):
    """The browser's message is none; its text says why and repeats nothing of it."""


class WatchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Follow a collection."""

    watch: Number
    topic: TopicWord
    org: Annotated[str, Meta(max_length=64, pattern=r"\A[a-z0-9-]*\Z")] = ""
    of: Annotated[str, Meta(max_length=64, pattern=r"\A[a-z0-9-]*\Z")] = ""


class UnwatchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Follow it no longer."""

    unwatch: Number


_watch: Final = json_text.decoder(WatchRequest)
_unwatch: Final = json_text.decoder(UnwatchRequest)


def parse_request(text: str) -> WatchRequest | UnwatchRequest:
    """The request. Raises `WatchRequestError`."""
    if len(text) > MAX_REQUEST:
        raise WatchRequestError("a request has at most 4,096 bytes")
    try:
        return _unwatch.decode(text) if '"unwatch"' in text else _watch.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise WatchRequestError("a request is a watch or an unwatch") from None
