"""Where a request is not of its shape: the field and what it has to be, in words for a person.

Msgspec says both, but quotes what was sent where that is none of an enum's values, and does not say
which there are. What is told here is from the declared shape, never from the request, but for a
field's name that could be one.
"""

import re
from functools import cache
from typing import Final

from msgspec import inspect

_PLACED: Final = re.compile(r"(?P<what>.*) - at `\$(?P<place>[^`]*)`\Z", re.DOTALL)
_FIELD: Final = re.compile(
    r"Object (?P<how>missing required|contains unknown) field `(?P<name>.*)`"
)
_NAME: Final = re.compile(r"[a-z_]{1,32}")  # of a field, hardly a value
_STEP: Final = re.compile(r"\.\w+|\[\d+\]|\[\.\.\.\]")
_EXPECTED: Final = "Expected "
_WRONG: Final = "Invalid"
"""How the words begin that quote the value: of an enum, a tag, a form."""


def describe_error(message: str, shape: type) -> tuple[str, str]:
    """Field (`rules[1].effect`, empty for the whole) and what is wrong with it, from msgspec's."""
    placed = _PLACED.match(message)
    what, place = (placed["what"], placed["place"]) if placed else (message, "")
    kind = _type_at(_schema_of(shape), place)
    field = place.lstrip(".") if kind is not None else ""
    if named := _FIELD.match(what):
        if named["how"] == "missing required":
            return f"{field}.{named['name']}".lstrip("."), "is required"
        if _NAME.fullmatch(named["name"]):
            return f"{field}.{named['name']}".lstrip("."), "is not a known field"
        return field, "has a field that is not known"
    if what.startswith(_WRONG):
        allowed = ", ".join(_allowed_values(kind))
        return field, f"is not one of {allowed}" if allowed else "is not what is allowed here"
    if what.startswith(_EXPECTED):
        return field, f"has to be {what.removeprefix(_EXPECTED).replace(', got ', ', not ')}"
    return field, f"is wrong: {what[:1].lower()}{what[1:]}"


@cache
def _schema_of(shape: type) -> inspect.Type:
    return inspect.type_info(shape)


def _type_at(kind: inspect.Type | None, place: str) -> inspect.Type | None:
    """What the shape has at this place; None for a place that it has not."""
    steps = _STEP.findall(place)
    if "".join(steps) != place:
        return None
    for step in steps:
        kind = next(
            (found for each in _member_types(kind) if (found := _child_type(each, step))), None
        )
    return kind


def _member_types(kind: inspect.Type | None) -> list[inspect.Type]:
    """The kinds that a value may be of."""
    if isinstance(kind, inspect.Metadata):
        return _member_types(kind.type)
    if isinstance(kind, inspect.UnionType):
        return [found for each in kind.types for found in _member_types(each)]
    return [] if kind is None else [kind]


def _child_type(kind: inspect.Type, step: str) -> inspect.Type | None:
    if isinstance(kind, inspect.StructType):
        named = (field.type for field in kind.fields if f".{field.encode_name}" == step)
        return next(named, None)
    if isinstance(kind, inspect.DictType):
        return kind.value_type
    if isinstance(kind, inspect.CollectionType):
        return kind.item_type
    return None


def _allowed_values(kind: inspect.Type | None) -> list[str]:
    found: list[object] = []
    for each in _member_types(kind):
        if isinstance(each, inspect.EnumType):
            found += [member.value for member in each.cls]
        elif isinstance(each, inspect.LiteralType):
            found += each.values
    return [str(value) for value in found]
