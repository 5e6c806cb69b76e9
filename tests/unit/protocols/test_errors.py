"""The family of errors: each has the design's type, one status, and a text that is safe to log."""

import pytest

from protocols import errors
from protocols.errors import ApiError, ErrorType, locate

STATUS = {
    errors.ValidationError: (ErrorType.VALIDATION, 400),
    errors.TooLargeError: (ErrorType.VALIDATION, 413),
    errors.MethodError: (ErrorType.VALIDATION, 405),
    errors.MediaTypeError: (ErrorType.VALIDATION, 415),
    errors.AuthenticationError: (ErrorType.AUTHENTICATION, 401),
    errors.AuthorizationError: (ErrorType.AUTHORIZATION, 403),
    errors.NotFoundError: (ErrorType.NOT_FOUND, 404),
    errors.ConflictError: (ErrorType.CONFLICT, 409),
    errors.RateLimitError: (ErrorType.RATE_LIMIT, 429),
    errors.InternalError: (ErrorType.INTERNAL, 500),
    errors.SetupError: (ErrorType.INTERNAL, 500),
    errors.UnavailableError: (ErrorType.UNAVAILABLE, 503),
    errors.TamperedError: (ErrorType.UNAVAILABLE, 503),
}


def test_every_error_has_its_type_and_status() -> None:
    """No error of the family is left without the type and status that a caller is promised."""
    family = {e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, ApiError)}
    assert family - {ApiError} == set(STATUS)
    assert {kind: (kind.type, kind.status) for kind in STATUS} == STATUS


@pytest.mark.parametrize("kind", [kind for kind in STATUS if kind is not errors.MethodError])
def test_an_error_says_what_it_was_given(kind: type[ApiError]) -> None:
    """Code, message and details are kept; the text is code and message and no detail."""
    error = kind("some_code", "do this instead", field="rules[0]")
    assert (error.code, error.message) == ("some_code", "do this instead")
    assert error.details == {"field": "rules[0]"}
    assert str(error) == "some_code: do this instead"


def test_a_wrong_method_says_which_are_right() -> None:
    """The methods that exist are at hand for the `Allow` header."""
    error = errors.MethodError("method_not_allowed", "use GET", allow=["GET", "PUT"])
    assert error.allow == ("GET", "PUT")
    assert error.details == {"allow": ["GET", "PUT"]}


def test_a_log_gets_type_and_place_without_the_text() -> None:
    """The text of an unexpected error could hold a secret, inside a group too."""
    with pytest.raises(ValueError, match="s3cret") as raised:
        int("s3cret")
    told = locate(ExceptionGroup("s3cret", [raised.value, KeyError("s3cret")]))
    assert "s3cret" not in told
    assert "ValueError at " in told
    assert f"{__file__}:" in told
    assert "KeyError at unknown place" in told
