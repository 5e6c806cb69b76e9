"""Response wrapping, for every dialect: an answer waits behind a token, for one reader and once.

What is kept is an answer in the terms of Vault's API, whichever dialect it was made in, so that
either can unwrap it.
"""

from typing import Final

import msgspec
from msgspec import Raw, Struct

from protocols.instant import parse_duration
from vault import operations
from vault.authn.cubbyhole import WrappedAnswer
from vault.authn.token_lifetime import MAX_TTL
from vault.edge.dialect import Dialect
from vault.edge.request import Request
from vault.errors import UnavailableError, ValidationError, VaultError
from vault.model.operation import service_operation
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing, UnwrapAnswer, WrapAnswer
from vault.model.results import UnwrappedAnswer

SERVICE: Final = "wrapping"
WRAP_PATH: Final = "sys/wrapping/wrap"
NULL: Final = Raw(b"null")


class KeptAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of an answer is kept. `native`: `data` is the body of a native answer, whole."""

    lease_id: str = ""
    renewable: bool = False
    lease_duration: int = 0
    data: Raw = NULL
    warnings: list[str] | None = None
    auth: Raw = NULL
    native: bool = False


def parse_wrap_ttl(text: str, header: str) -> int:
    """How long (ns) an answer is to wait; 0: it is not to be wrapped. Raises `ValidationError`."""
    if not text:
        return 0
    try:
        ttl = parse_duration(text, header)
    except VaultError:
        raise ValidationError(
            "wrap_ttl_invalid", f"error parsing {header} header: time: invalid duration"
        ) from None
    if ttl < 0:
        raise ValidationError("wrap_ttl_invalid", "requested wrapping ttl is negative")
    if ttl > MAX_TTL:  # before anything is done: the answer could not be wrapped then
        raise ValidationError("wrap_ttl_invalid", "an answer can be wrapped for at most 768 hours")
    return ttl


async def wrap_answer(
    dialect: Dialect, request: Request, answer: KeptAnswer, accessor: str = ""
) -> WrappedAnswer:
    """Put an answer behind a token. `accessor`: of the token that it brings.

    Raises as the operation, with the outcome `done` where the request has changed something.
    """
    payload = WrapAnswer(
        content=msgspec.json.encode(answer),
        ttl=request.wrap_ttl,
        creation_path=request.path.removeprefix(dialect.prefix),
        accessor=accessor,
    )
    operation = service_operation(
        operations.WRAP_ANSWER, WRAP_PATH, payload, service=SERVICE, request_id=request.id + "-wrap"
    )
    try:
        return await dialect.service.run_operation(operation)
    except UnavailableError as error:
        # The request itself is done: whoever repeats it may have two of what it made.
        raise UnavailableError(error.code, error.message, outcome="done") from None


async def unwrap_answer(dialect: Dialect, request: Request, text: str) -> UnwrappedAnswer:
    """Take what waits behind this token, or behind the caller's own.

    Raises `ValidationError`, and `AuthenticationError` where the caller's own is none.
    """
    path = wrapping_path("unwrap")
    if text and text != dialect.credential(request):  # not secret: both are what the caller sent
        payload = UnwrapAnswer(token=text)
        return await dialect.run_operation(request, operations.UNWRAP, path, payload)
    return await dialect.run_operation(request, operations.UNWRAP_OWN, path, Nothing())


def invalid_wrapping_token() -> ValidationError:
    """The error for a wrapping token that is unknown, has ended or was used."""
    return ValidationError(
        "wrapping_token_invalid", "wrapping token is not valid or does not exist", field="token"
    )


def wrapping_path(name: str) -> ResourcePath:
    """The logical path of an action on wrapping tokens."""
    return ResourcePath.parse(f"sys/wrapping/{name}")
