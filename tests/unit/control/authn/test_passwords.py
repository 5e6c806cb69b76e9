"""Passwords: hashed with Argon2id, the same work for nobody."""

import pytest
from argon2 import PasswordHasher

from actors.testing import FakeWorld
from control.authn.passwords import Passwords
from control.errors import ValidationError


class Counting(PasswordHasher):
    """Counts checks."""

    checks = 0

    def verify(self, *arguments: object, **more: object) -> bool:  # type: ignore[override]
        """Count it."""
        self.checks += 1
        return super().verify(*arguments, **more)  # type: ignore[arg-type]


async def test_right_wrong_and_nobody_cost_one_check_each() -> None:
    """And only the right one counts; a stored hash that is damaged is a wrong password."""
    hasher = Counting(time_cost=1, memory_cost=8, parallelism=1)
    passwords = Passwords(FakeWorld(), hasher)
    stored = await passwords.hash("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert await passwords.matches(stored, "correct horse battery")
    assert not await passwords.matches(stored, "correct horse batterY")
    assert not await passwords.matches(None, "the password of nobody")
    assert hasher.checks == 3
    assert not await passwords.matches("damaged", "correct horse battery")


@pytest.mark.parametrize("password", ["short", "x" * 1025])
async def test_length_is_bounded(password: str) -> None:
    """A typed error names the field."""
    with pytest.raises(ValidationError, match="12 to 1024"):
        await Passwords(FakeWorld()).hash(password)
