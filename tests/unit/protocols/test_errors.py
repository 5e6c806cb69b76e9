"""The family of errors: each has the design's type, one status, and a text that is safe to log."""

import pytest

from protocols import errors
from protocols.errors import locate


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
