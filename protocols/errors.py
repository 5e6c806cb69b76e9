"""The one family of errors that a caller can meet: what is wrong, and what to do about it.

A message never holds a value that a caller sent or a secret: it names the field and the rule.
Whatever speaks to a caller translates an `ApiError` to its wire; nothing else leaves a pipeline.
"""

import traceback
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import ClassVar


class ErrorType(StrEnum):
    """The design's error types; each has one HTTP status."""

    VALIDATION = "validation"
    AUTHENTICATION = "authentication"
    AUTHORIZATION = "authorization"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    RATE_LIMIT = "rate_limit"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"


class ApiError(Exception):
    """An answer that is an error: `code` is stable and for programs, `message` is for people."""

    type: ClassVar[ErrorType] = ErrorType.INTERNAL
    status: ClassVar[int] = 500

    def __init__(self, code: str, message: str, **details: object) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.details: Mapping[str, object] = details

    def __str__(self) -> str:
        """`code: message`, safe to log."""
        return f"{self.code}: {self.message}"


class ValidationError(ApiError):
    """The request is malformed; `details["field"]` names the faulty field where there is one."""

    type = ErrorType.VALIDATION
    status = 400


class TooLargeError(ValidationError):
    """The body or the value is over its bound; the message names the bound."""

    status = 413


class MethodError(ValidationError):
    """The path exists, the method does not; `allow` are those that do."""

    status = 405

    def __init__(self, code: str, message: str, *, allow: Sequence[str] = ()) -> None:
        super().__init__(code, message, allow=list(allow))
        self.allow = tuple(allow)


class MediaTypeError(ValidationError):
    """The body is of a type that this route does not take."""

    status = 415


class AuthenticationError(ApiError):
    """No credential, or one that does not (or no longer) count."""

    type = ErrorType.AUTHENTICATION
    status = 401


class AuthorizationError(ApiError):
    """The caller is known and may not do this."""

    type = ErrorType.AUTHORIZATION
    status = 403


class NotFoundError(ApiError):
    """There is nothing here that the caller may see."""

    type = ErrorType.NOT_FOUND
    status = 404


class ConflictError(ApiError):
    """The state is not the one that the request was made for (check-and-set, already exists)."""

    type = ErrorType.CONFLICT
    status = 409


class RateLimitError(ApiError):
    """Too many requests; `details["retry_after"]` is in seconds."""

    type = ErrorType.RATE_LIMIT
    status = 429


class InternalError(ApiError):
    """Our fault. The message names the request id to look for in the log, and nothing else."""


class SetupError(ApiError):
    """The machine lacks what this takes, and a person has to change that: the message says what.

    Nothing was done, and trying again alone is of no use.
    """


class UnavailableError(ApiError):
    """Not now: sealed, audit refused, store or disk gone. Nothing was done unless it says so."""

    type = ErrorType.UNAVAILABLE
    status = 503


class TamperedError(UnavailableError):
    """Stored data fails its authentication: the row is refused and somebody must look."""


def locate(error: BaseException) -> str:
    """Type and place of an error, and of those inside a group, for a log.

    Without its text, which could hold a secret.
    """
    if isinstance(error, BaseExceptionGroup):
        return "[" + ", ".join(locate(inner) for inner in error.exceptions) + "]"
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown place"
    return f"{type(error).__name__} at {place}"
