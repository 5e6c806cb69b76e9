"""Decode a request for its endpoint, or raise one error that names the faulty field.

Msgspec names field and fault, but quotes what was sent where it is none of an enum's values. Texts
are made from the declared type, never from the request, except for a field's name.
"""

import re
from functools import cache
from typing import Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct, inspect

from control.api.endpoint import FORM_MEDIA_TYPE, Endpoint, Nothing
from control.errors import ValidationError
from control.model.names import is_slug
from protocols import json_text

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
    """The field (`rules[1].effect`, empty for the whole) and its fault, from msgspec's message."""
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
    """The type at this place of the declared type; None where it has no such place."""
    steps = _STEP.findall(place)
    if "".join(steps) != place:
        return None
    for step in steps:
        kind = next(
            (found for each in _member_types(kind) if (found := _child_type(each, step))), None
        )
    return kind


def _member_types(kind: inspect.Type | None) -> list[inspect.Type]:
    """The types of a union."""
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


MAX_BODY: Final = 256 * 1024
MAX_QUERY_FIELDS: Final = 32
MAX_BRACKETS: Final = 10_000
BEARER: Final = "bearer "

T = TypeVar("T", bound=Struct)


def bearer_credential(header: str) -> str | None:
    """The bearer credential in an Authorization header."""
    if header[: len(BEARER)].lower() != BEARER:
        return None
    return header[len(BEARER) :].strip() or None


def decode_request(
    endpoint: Endpoint, body: bytes, query: bytes, content_type: str
) -> dict[str, Struct]:
    """The keyword arguments of the endpoint's function. Raises `ValidationError`."""
    found: dict[str, Struct] = {}
    asked = _decode_query(query)
    if endpoint.query is not Nothing:
        found["query"] = _convert(asked, endpoint.query, "query")
    elif asked:
        raise ValidationError("query_invalid", "this takes no query", field=next(iter(asked)))
    if endpoint.body is not Nothing:
        found["body"] = _decode_body(endpoint, body, content_type)
    elif body.strip() not in (b"", b"{}"):
        raise ValidationError("body_invalid", "this takes no body")
    return found


def is_valid_path(values: dict[str, str]) -> bool:
    """Whether each part of the path could be a name: all names and ids are slugs."""
    return all(is_slug(value) for value in values.values())


def _decode_body(endpoint: Endpoint, body: bytes, content_type: str) -> Struct:
    if not body and endpoint.needs_body:
        raise ValidationError("body_missing", "this request needs a body")
    if endpoint.media_type == FORM_MEDIA_TYPE:
        if content_type.partition(";")[0].strip().lower() != FORM_MEDIA_TYPE:
            raise ValidationError("media_type", f"the body has to be {FORM_MEDIA_TYPE}")
        return _convert(_decode_query(body), endpoint.body, "body")
    if body and content_type.partition(";")[0].strip().lower() not in ("", "application/json"):
        raise ValidationError("media_type", "the body has to be application/json")
    if body.count(b"[") + body.count(b"{") > MAX_BRACKETS or rb"\u0000" in body:
        raise ValidationError("body_invalid", "the body is nested too much or holds a NUL")
    try:
        decoded: Struct = json_text.decode(body or b"{}", type=endpoint.body)
    except msgspec.ValidationError as error:
        raise _validation_error(str(error), endpoint.body, "body") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ValidationError("body_invalid", "the body is not JSON") from None
    return decoded


def _decode_query(query: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query),
            errors="strict",
            max_num_fields=MAX_QUERY_FIELDS,
        )
    except ValueError:
        raise ValidationError("query_invalid", "the query is malformed") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValidationError("query_invalid", "a query names each field once")
    if any(value.endswith("\n") or "\0" in value for value in found.values()):
        raise ValidationError("query_invalid", "the query holds a control character")
    return found


def _convert(plain: dict[str, str], shape: type[T], what: str) -> T:
    try:
        return msgspec.convert(plain, shape, strict=False)
    except msgspec.ValidationError as error:
        raise _validation_error(str(error), shape, what) from None


def _validation_error(message: str, shape: type, what: str) -> ValidationError:
    field, wrong = describe_error(message, shape)
    text = f"{what}: {field} {wrong}" if field else f"the {what} {wrong}"
    return ValidationError(f"{what}_invalid", text, field=field)
