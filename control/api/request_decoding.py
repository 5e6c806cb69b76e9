"""From a request's bytes to what an endpoint declares, or to one error that names the field."""

from typing import Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from control.api.endpoint import FORM_MEDIA_TYPE, Endpoint, Nothing
from control.api.validation_errors import describe_error
from control.errors import ValidationError
from control.model.names import is_slug
from protocols import json_text

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
    """Whether each part of the path could name something: all names are slugs, ids too."""
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
