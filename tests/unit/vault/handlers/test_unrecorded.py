"""What the pipeline leaves off the audit log: a look at nothing but the caller's own words."""

from typing import Any

import pytest

from tests.unit.vault.handlers.conftest import House
from tests.unit.vault.test_pipeline import Parts, handler, op
from vault.authz.access import Decision
from vault.errors import (
    AuthenticationError,
    AuthorizationError,
    InternalError,
    NotFoundError,
    RateLimitError,
    ValidationError,
    VaultError,
)


@pytest.fixture
def parts() -> Parts:
    """Everything allowed, nothing stored."""
    return Parts()


def quiet(parts: Parts, answer: object = "done", **declared: Any) -> Any:
    """A pipeline over one handler that leaves no record."""
    return parts.pipeline(op=handler(parts, answer, is_audited=False, **declared))


async def test_an_answer_and_a_fault_leave_no_record(parts: Parts) -> None:
    """They are counted all the same, and the caller is known and held to the rate."""
    assert await quiet(parts).run_operation(op()) == "done"
    with pytest.raises(ValidationError):
        await quiet(parts, ValidationError("policy_invalid", "rules is no list")).run_operation(
            op()
        )
    assert parts.events == []
    assert parts.diary == ["authenticate s.text", "limit u1", "decide read", "handle"] * 2
    assert parts.counts == [("op", "ok"), ("op", "validation")]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"who": AuthenticationError("unauthenticated", "permission denied")}, "unauthenticated"),
        ({"limit": RateLimitError("rate_limited", "wait", retry_after=1)}, "rate_limited"),
        ({"decide_": lambda _: Decision(allowed=False)}, "permission_denied"),
    ],
)
async def test_who_is_refused_is_on_record(changes: dict[str, Any], code: str) -> None:
    """As with any operation."""
    parts = Parts(**changes)
    with pytest.raises((AuthenticationError, AuthorizationError, RateLimitError)):
        await quiet(parts).run_operation(op())
    assert [event.code for event in parts.events] == [code]


@pytest.mark.parametrize("error", [NotFoundError("policy_not_found", "none"), ValueError("x")])
async def test_another_failure_is_on_record(parts: Parts, error: Exception) -> None:
    """Only faults in the caller's words are his own affair."""
    wanted: type[VaultError] = NotFoundError if isinstance(error, NotFoundError) else InternalError
    with pytest.raises(wanted):
        await quiet(parts, error).run_operation(op())
    assert [event.result for event in parts.events] == ["failed"]


async def test_no_other_operation_is_left_off(house: House) -> None:
    """Whatever else is asked of a vault leaves a record.

    Which auth mounts somebody may see is asked with which mounts, and that is on record.
    """
    left_off = {name for name, found in house.handlers.items() if not found.is_audited}
    assert left_off - {"auth.mount.visible"} == {"policy.validate"}
    assert not house.handlers["policy.validate"].mutates
