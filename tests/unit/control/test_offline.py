"""An account is let in again, with its record, or nothing happens."""

import pytest
from argon2 import PasswordHasher

from actors.testing import FakeWorld
from control.authn.passwords import Passwords
from control.core import Core
from control.errors import AuthenticationError, NotFoundError, ValidationError
from control.model.people import TokenKind
from control.offline import restore_account
from tests.unit.control.authn.test_second_factors import armed
from tests.unit.control.conftest import PASSWORD, ROOT

NEW = "another long password"


async def test_it_is_let_in_again(core: Core, world: FakeWorld) -> None:
    """Locked, disabled, its authenticator lost: the new password is enough, the old ends."""
    await armed(core, world)
    await core.people.users.create_user(None, "acme", "other", ROOT.role, PASSWORD)
    for _ in range(6):
        with pytest.raises(AuthenticationError):
            await core.people.accounts.login("acme", "ann", "wrong")
    await core.people.users.change_user(ROOT, "acme", "ann", role=None, disabled=True)
    cheap = Passwords(world, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    await restore_account(core.store, cheap, "acme", "ann", NEW)
    with pytest.raises(AuthenticationError):
        await core.people.accounts.login("acme", "ann", PASSWORD)
    _, token = await core.people.accounts.login("acme", "ann", NEW)
    assert token.kind is TokenKind.SESSION
    [event] = await core.audit.log.newest_events("acme", 0, 1)
    assert (event.operation, event.target, event.ip, event.actor) == (
        "users.rescue", "ann", "local", "",
    )  # fmt: skip


async def test_nothing_happens_else(core: Core, world: FakeWorld) -> None:
    """Nobody of the name; a password that would not do."""
    cheap = Passwords(world, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    with pytest.raises(NotFoundError):
        await restore_account(core.store, cheap, "acme", "nobody", NEW)
    with pytest.raises(ValidationError):
        await restore_account(core.store, cheap, "acme", "ann", "short")
    assert await core.audit.log.newest_events("acme", 0, 1) == []
