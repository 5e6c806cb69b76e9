"""Keyed hashes in place of values, so that a log can be searched for a value but not read.

Every scalar below `request` and `response` becomes `hmac-sha256:<hex>`: numbers, booleans and null
too, since a PIN or a flag can be the secret. The type is part of what is hashed, so 1, "1" and true
differ. Structure and keys stay in the clear: field names of our own structs and the keys of secret
data (`password`, not its value). A key that is longer than `MAX_KEY`, or holds a character that
shows nothing or not where it stands, is taken for data and hashed: whoever reads the log in a
terminal reads what is there.
"""

from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from vault.audit.keys import Mac
from vault.model.memo import BoundedMemo
from vault.model.reference import ReferencePayload

PREFIX: Final = "hmac-sha256:"
MAX_DEPTH: Final = 32  # security.md, "Memory DoS": a body's depth
MAX_VALUES: Final = 1000  # security.md, "Memory DoS": a body's strings
MAX_KEY: Final = 256  # characters; longer than any name a person gives a field
MAX_KNOWN: Final = 4096  # renderings of references, about 400 bytes each
MAX_NUMBERS: Final = 1024  # hashes of numbers in references, which are versions

_INT_BITS: Final = 64  # wider integers are written in hexadecimal
_CANONICAL: Final = msgspec.json.Encoder(order="sorted")


class ValueHasher:
    """`redact` for records, `value` for whoever looks for one (`sys/audit-hash`)."""

    __slots__ = ("_known", "_mac", "_numbers", "_plain")

    def __init__(self, mac: Mac) -> None:
        self._mac = mac
        self._known: BoundedMemo[ReferencePayload, msgspec.Raw] = BoundedMemo(MAX_KNOWN)
        self._numbers: BoundedMemo[int, str] = BoundedMemo(
            MAX_NUMBERS
        )  # hashes of such as are in references
        # The three values that no secret hides behind: of others only references' are remembered.
        self._plain = {literal: self._tag(_scalar(literal)) for literal in (True, False, None)}

    def hash_value(self, value: object) -> str:
        """The hash that `value` has in every record: a scalar's own, or a whole tree's."""
        plain = _plain(value)
        if isinstance(plain, dict | list | tuple):
            return self._whole(plain)
        return self._tag(_scalar(plain))

    def redact(self, data: object) -> object:
        """`data` (plain values or structs) with each value hashed.

        Beyond `MAX_DEPTH` or `MAX_VALUES` a subtree becomes one hash of its canonical JSON (keys
        sorted), so the result has a bounded size. Raises `TypeError` for what JSON has no word for,
        `RecursionError` for what is nested a thousand deep.
        """
        if not isinstance(data, ReferencePayload):
            return self._walk(_plain(data), MAX_DEPTH, [MAX_VALUES])
        known = self._known.get(data)
        if known is None:
            known = self._rendered(data)
            self._known.put(data, known)
        return known

    def _rendered(self, reference: ReferencePayload) -> msgspec.Raw:
        """JSON of what `_walk` makes of its fields. Many are read once only: the way is short."""
        hashes: dict[str, object] = {}
        names = reference.__struct_encode_fields__
        for name, value in zip(names, astuple(reference), strict=True):
            kind = type(value)
            if kind is str:
                hashes[name] = self._text(value)
            elif kind is int:
                hashes[name] = self._number(value)
            else:
                hashes[name] = self._walk(_plain(value), MAX_DEPTH, [MAX_VALUES])
        return msgspec.Raw(msgspec.json.encode(hashes))

    def _number(self, number: int) -> str:
        known = self._numbers.get(number)
        if known is None:
            known = self._tag(_scalar(number))
            self._numbers.put(number, known)
        return known

    def _walk(self, data: Any, depth: int, budget: list[int]) -> object:
        if data is None:
            return self._plain[None]
        kind = type(data)
        if kind is str:
            return self._text(data)
        if kind is dict:
            budget[0] -= len(data)
            if depth == 0 or budget[0] < 0:
                return self._whole(data)
            return {
                k if len(k) <= MAX_KEY and k.isprintable() else self._text(k): self._walk(
                    v, depth - 1, budget
                )
                for k, v in data.items()
            }
        if kind is list or kind is tuple:
            budget[0] -= len(data)
            if depth == 0 or budget[0] < 0:
                return self._whole(data)
            return [self._walk(item, depth - 1, budget) for item in data]
        if data is True or data is False:
            return self._plain[data]
        return self._tag(_scalar(data))

    def _whole(self, data: object) -> str:
        return self._tag(b"j" + _CANONICAL.encode(data))

    def _text(self, text: str) -> str:
        return PREFIX + self._mac(b"s" + text.encode("utf-8", "surrogatepass")).hex()

    def _tag(self, message: bytes) -> str:
        return PREFIX + self._mac(message).hex()


def _plain(data: object) -> object:
    return msgspec.to_builtins(data, str_keys=True, builtin_types=(bytes,))


def _scalar(value: object) -> bytes:
    """Type letter and content: `s` text, `b` bytes, `n` number, `l` literal."""
    match value:
        case None:
            return b"lnull"
        case bool():
            return b"ltrue" if value else b"lfalse"
        case str():
            return b"s" + value.encode("utf-8", "surrogatepass")
        case bytes():
            return b"b" + value
        case int():
            return b"n" + _decimal_text(value)
        case float():
            return b"n" + repr(value).encode()
        case _:
            raise TypeError(f"a value of type {type(value).__name__} cannot be hashed")


def _decimal_text(value: int) -> bytes:
    if value.bit_length() <= _INT_BITS:
        return b"%d" % value
    return b"%x" % value + b"h"  # linear time: Python's decimal form of a huge integer is not
