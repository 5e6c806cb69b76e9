"""Tests of the errors that a caller can meet."""

import inspect

import pytest

from vault import errors
from vault.errors import ErrorType, MethodError, RateLimitError, ValidationError, VaultError

ALL = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, VaultError)
]

STATUS = {
    ErrorType.VALIDATION: 400,
    ErrorType.AUTHENTICATION: 401,
    ErrorType.AUTHORIZATION: 403,
    ErrorType.NOT_FOUND: 404,
    ErrorType.CONFLICT: 409,
    ErrorType.RATE_LIMIT: 429,
    ErrorType.INTERNAL: 500,
    ErrorType.UNAVAILABLE: 503,
}


@pytest.mark.parametrize("kind", ALL)
def test_each_has_a_type_of_the_seed(kind: type[VaultError]) -> None:
    """And its type's status, or a narrower one of the same hundred."""
    assert kind.status == STATUS[kind.type] or (
        kind.type is ErrorType.VALIDATION and kind.status in {405, 413, 415}
    )


def test_every_type_has_an_error() -> None:
    """None of the seed's is missing."""
    assert {kind.type for kind in ALL} == set(ErrorType) == set(STATUS)


def test_what_it_carries() -> None:
    """A code for programs, a message for people, details by name; its text is safe to log."""
    error = ValidationError("name_invalid", "name is wrong", field="name")
    assert (error.code, error.message, error.details) == (
        "name_invalid", "name is wrong", {"field": "name"},
    )  # fmt: skip
    assert str(error) == "name_invalid: name is wrong"
    assert RateLimitError("r", "wait", retry_after=3).details["retry_after"] == 3


def test_a_method_error_lists_what_is_allowed() -> None:
    """For the `Allow` header and for the body."""
    error = MethodError("method_not_allowed", "use GET", allow=["GET"])
    assert error.allow == ("GET",)
    assert error.details == {"allow": ["GET"]}
    assert MethodError("m", "x").allow == ()
