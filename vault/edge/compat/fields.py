"""Loose parameters, converted as OpenBao does: `"5"` is a number, `1` a yes, `90` a duration.

Clients rely on it: Terraform sends numbers as text, hvac booleans as words.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from protocols import json_text
from protocols.instant import parse_duration
from vault.edge.request import Request
from vault.errors import ValidationError

_WHOLE: Final = re.compile(r"-?\d{1,19}", re.ASCII)
MOST_ITEMS: Final = 1_000  # of a list, as in the native API
_LARGEST: Final = (1 << 63) - 1  # what a database keeps
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})  # Go's strconv.ParseBool
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def parse_bool(text: str) -> bool | None:
    """Go's `strconv.ParseBool`; None for what it does not take."""
    return True if text in _TRUE else False if text in _FALSE else None


class Fields:
    """What a request brought, by name. A value is decoded when it is asked for.

    An absent field and a null are both None (or the default); a value that cannot be converted
    raises `ValidationError`.
    """

    def __init__(self, given: Mapping[str, object]) -> None:
        self._given = given
        self._read: set[str] = set()

    @classmethod
    def from_body(cls, request: Request) -> "Fields":
        """Those of a body, which must be a JSON object (or empty), whatever its label."""
        return cls(request.decode_json(dict[str, Raw]))

    def names(self) -> list[str]:
        """All that was given."""
        return list(self._given)

    def __contains__(self, name: str) -> bool:
        """Whether it was given, be it as null."""
        self._read.add(name)
        return name in self._given

    def raw_mapping(self, name: str) -> bytes:
        """The JSON text of an object, or `null`; checked to the last character."""
        self.mapping(name)
        given = self._given.get(name)
        return bytes(given) if isinstance(given, Raw) else b"null"

    def value(self, name: str) -> Any:
        """The field as it was given."""
        self._read.add(name)
        given = self._given.get(name)
        if not isinstance(given, Raw):
            return given
        try:
            return json_text.decode(given)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _bad(name, "not well-formed JSON") from None

    def values(self) -> dict[str, Any]:
        """All fields as they were given; an answer does not call them ignored for that."""
        read = set(self._read)
        found = {name: self.value(name) for name in self._given}
        self._read = read
        return found

    def text(self, name: str) -> str:
        """Text; a number or a yes becomes its text. Default: empty."""
        return _text(self.value(name), name)

    def integer(self, name: str) -> int | None:
        """A whole number."""
        value = self.value(name)
        return None if value is None else _integer(value, name)

    def boolean(self, name: str) -> bool | None:
        """Yes or no."""
        value = self.value(name)
        if value is None or isinstance(value, bool | int):
            return None if value is None else bool(value)
        answer = False if value == "" else parse_bool(value) if isinstance(value, str) else None
        if answer is None:
            raise _bad(name, "cannot parse value as 'bool'")
        return answer

    def duration(self, name: str) -> int | None:
        """A duration in ns, given in seconds or as `1h30m`; empty text is 0."""
        value = self.value(name)
        if value is None or value == "":
            return None if value is None else 0
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise _bad(name, "it must be seconds or a duration such as 1h30m")
        return parse_duration(value, name)

    def integers(self, name: str) -> tuple[int, ...]:
        """Whole numbers: a list, or text with commas."""
        return tuple(_integer(item, name) for item in self._items(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """Texts: a list, or text with commas."""
        return tuple(_text(item, name) for item in self._items(name))

    def statements(self, name: str) -> tuple[str, ...]:
        """Texts: a list, or one text whatever is in it."""
        value = self.value(name)
        items = value if isinstance(value, list) else [] if value in {None, ""} else [value]
        if len(items) > MOST_ITEMS:
            raise _bad(name, f"it may have at most {MOST_ITEMS} items")
        return tuple(_text(item, name) for item in items)

    def mapping(self, name: str) -> dict[str, Any] | None:
        """An object."""
        value = self.value(name)
        if value is None or isinstance(value, dict):
            return value
        raise _bad(name, "expected a map")

    def text_map(self, name: str) -> dict[str, str] | None:
        """An object whose values become text."""
        value = self.mapping(name)
        return None if value is None else {key: _text(item, name) for key, item in value.items()}

    def ignored_field_warnings(self) -> list[str]:
        """OpenBao's remark on fields that nobody asked for; none is no remark."""
        unknown = sorted(self._given.keys() - self._read)
        words = " ".join(unknown)
        return [f"Endpoint ignored these unrecognized parameters: [{words}]"] if unknown else []

    def _items(self, name: str) -> list[Any]:
        value = self.value(name)
        count = value.count(",") if isinstance(value, str) else 0
        if isinstance(value, list):
            count = len(value) - 1
        if count >= MOST_ITEMS:
            raise _bad(name, f"it may have at most {MOST_ITEMS} items")
        if isinstance(value, str):
            return [item.strip() for item in value.split(",") if item.strip()]
        return value if isinstance(value, list) else [] if value is None else [value]


def _text(value: object, name: str) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if value is None or isinstance(value, str | int | float):
        return "" if value is None else str(value)
    raise _bad(name, "expected type 'string'")


def _integer(value: object, name: str) -> int:
    number = value
    if isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, str):
        number = 0 if value == "" else int(value) if _WHOLE.fullmatch(value) else None
    if not isinstance(number, int) or abs(number) > _LARGEST:
        raise _bad(name, "'' cannot parse value as 'int'")
    return int(number)


def _bad(name: str, why: str) -> ValidationError:
    message = f'error converting input for field "{name}": {why}'
    return ValidationError("field_invalid", message, field=name)
