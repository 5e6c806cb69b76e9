"""What the audit records of an operation say of its end."""

import pytest

from tests.unit.vault.test_pipeline import Parts, handler, op
from vault.errors import InternalError, NotFoundError, UnavailableError
from vault.pipeline import AuditContext, internal_error, unrecorded_error

REFUSED = UnavailableError("audit_unavailable", "no audit sink accepts records")


def context() -> AuditContext:
    """Of an operation on its way."""
    return AuditContext(op(), handler(Parts(), None))


def test_unexpected_names_type_and_place(caplog: pytest.LogCaptureFixture) -> None:
    """The log line has the request id, the exception's type and its place, and not its text."""
    try:
        int("canary")
    except ValueError as error:
        told = internal_error("r9", "doing", error)
    assert isinstance(told, InternalError)
    assert "r9" in told.message
    assert "request r9: doing failed with ValueError at" in caplog.text
    assert __file__ in caplog.text
    assert "canary" not in caplog.text + told.message


def test_what_is_told_of_an_error() -> None:
    """One of the family is told as it is, another as ours."""
    error = NotFoundError("secret_not_found", "there is none")
    assert context().caller_error(error) is error
    assert context().caller_error(KeyError("canary")).type == "internal"


def test_what_was_done_is_told_as_done() -> None:
    """Whatever fails after it."""
    ended = context()
    ended.is_done = True
    assert ended.caller_error(REFUSED).details == {"outcome": "done"}


def test_a_failure_that_is_not_on_record() -> None:
    """What was done of it is told all the same."""
    assert unrecorded_error(NotFoundError("x", "y"), REFUSED) is REFUSED
    unknown = UnavailableError("store_timeout", "late", outcome="unknown")
    told = unrecorded_error(unknown, REFUSED)
    assert (told.code, told.details) == ("audit_unavailable", {"outcome": "unknown"})
