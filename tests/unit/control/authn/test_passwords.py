"""Passwords: hashed with Argon2id, the same work for nobody."""

import pytest
import trio
from argon2 import PasswordHasher
from trio.testing import wait_all_tasks_blocked

from actors.testing import FakeWorld
from control.authn.passwords import MAX_TURNS, RETRY_AFTER, Passwords
from control.errors import RateLimitError, ValidationError


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
    stored = await passwords.hash_password("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert await passwords.is_match(stored, "correct horse battery")
    assert not await passwords.is_match(stored, "correct horse batterY")
    assert not await passwords.is_match(None, "the password of nobody")
    assert hasher.checks == 3
    assert not await passwords.is_match("damaged", "correct horse battery")


@pytest.mark.parametrize("password", ["short", "x" * 1025])
async def test_length_is_bounded(password: str) -> None:
    """A typed error names the field."""
    with pytest.raises(ValidationError, match="12 to 1024"):
        await Passwords(FakeWorld()).hash_password(password)


async def test_strangers_do_not_keep_others_waiting() -> None:
    """Of many requests from one address few are at work; beyond a bound it is refused with 429."""
    passwords = Passwords(FakeWorld())
    inside: list[str] = []
    refused: list[RateLimitError] = []

    async def take(group: str) -> None:
        try:
            async with passwords.hash_turn(group, ""):
                inside.append(group)
                await trio.sleep_forever()
        except RateLimitError as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(take, "crowd")
        await wait_all_tasks_blocked()
        nursery.start_soon(take, "honest")
        await wait_all_tasks_blocked()
        assert inside[-1] == "honest"
        assert len(inside) <= MAX_TURNS
        assert {(error.code, error.details["retry_after"]) for error in refused} == {
            ("too_many_logins", RETRY_AFTER)
        }
        nursery.cancel_scope.cancel()
