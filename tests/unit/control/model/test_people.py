"""Roles are ordered, and the super-admin is the platform's owner alone."""

import pytest

from control.model.people import PLATFORM, Caller, Role


def test_each_role_covers_those_before() -> None:
    """And no other."""
    roles = list(Role)
    for mine in roles:
        assert [mine.covers(r) for r in roles] == [mine.rank >= r.rank for r in roles]


@pytest.mark.parametrize(
    ("org", "role", "expected"),
    [(PLATFORM, Role.OWNER, True), (PLATFORM, Role.ADMIN, False), ("acme", Role.OWNER, False)],
)
def test_super_admins(org: str, role: Role, expected: bool) -> None:
    """Both organization and role count."""
    caller = Caller(org, "x", role, "t")
    assert (caller.is_platform, caller.actor) == (expected, f"{org}/x")
