"""Canonical msgpack of typed structs: one value, one spelling.

Canonical is what the encoder writes: maps with their keys sorted, every field present, each
number, string and byte string in its shortest form. A decoded value is encoded again and must
give the very bytes that were read. That refuses duplicate keys (of which decoders take the last),
unsorted keys and long forms, all at once. Depth and lengths are bounded by the types, before
anything is allocated for them.
"""

from functools import cache
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from protocols.link.errors import Fault, LocalFaultError, RemoteFaultError
from protocols.link.messages import MESSAGE_SPECS, Message, MessageType, spec_of

S = TypeVar("S", bound=Struct)

_encoder: Final = msgspec.msgpack.Encoder(order="sorted")


def encode_struct(value: Struct) -> bytes:
    """The canonical bytes of a struct, unchecked: fields of a wrong type or size go through."""
    return _encoder.encode(value)


def decode_struct(data: bytes, struct_type: type[S]) -> S:
    """The struct that these bytes are the canonical form of. Raises `RemoteFaultError`.

    Faults: `malformed` (not msgpack, a wrong type, an unknown, missing or oversized field),
    `not_canonical`. The caller bounds the size of `data`.
    """
    try:
        value: S = _decoder(struct_type).decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # Not chained: msgspec's words can repeat what was sent.
        raise RemoteFaultError(
            Fault.MALFORMED, f"this is no valid {struct_type.__name__}"
        ) from None
    if _encoder.encode(value) != data:
        raise RemoteFaultError(Fault.NOT_CANONICAL, f"this {struct_type.__name__} is not canonical")
    return value


def encode_payload(message: Message) -> bytes:
    """The bytes of a message as they lie in an outbox and go into an envelope.

    Raises `LocalFaultError` for a message that the peer would have to refuse.
    """
    payload = encode_struct(message)
    try:
        decode_struct(payload, type(message))
    except RemoteFaultError as error:
        raise LocalFaultError(error.message) from None
    return payload


def decode_payload(name: MessageType, payload: bytes | Raw) -> Message:
    """The message of this type. Raises `RemoteFaultError` as `decode`."""
    return decode_struct(bytes(payload), MESSAGE_SPECS[name].shape)


def message_type_of(message: Message) -> MessageType:
    """The type's name in the envelope. Raises `LocalFaultError` for what is no message."""
    try:
        return spec_of(message).name
    except KeyError:
        raise LocalFaultError(f"{type(message).__name__} is not a message of the link") from None


@cache
def _decoder(shape: type[S]) -> Any:
    return msgspec.msgpack.Decoder(shape)
