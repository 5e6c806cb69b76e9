"""Signing in, being known, and no longer."""

from typing import Literal

import pytest
import trio
from argon2 import PasswordHasher
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.authn.attempts import MAX_FAILURES
from control.authn.session_opener import MAX_TOKENS
from control.core import Core
from control.errors import AuthenticationError, AuthorizationError, NotFoundError, ValidationError
from control.model.people import Caller, Role
from control.store import people
from tests.unit.control.conftest import PASSWORD


async def signed_in(core: Core) -> tuple[str, Caller]:
    """Ann."""
    secret, _ = await core.people.accounts.login("acme", "ann", PASSWORD)
    return secret, await core.people.sessions.authenticate(secret)


async def test_a_hundred_guesses_at_once_are_five(core: Core) -> None:
    """The attempt is counted before the password is looked at; time heals it."""

    async def guess() -> None:
        with pytest.raises(AuthenticationError):
            await core.people.accounts.login("acme", "ann", "wrong")

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(guess)
    found = await core.store.read(lambda tx: people.get_failures(tx, "acme", "ann"))
    assert found[0] == MAX_FAILURES
    with pytest.raises(AuthenticationError):
        await core.people.accounts.login("acme", "ann", PASSWORD)


async def test_the_lock_ends(core: Core, world: FakeWorld) -> None:
    """After fifteen minutes, and a success forgets the failures before it."""
    for _ in range(6):
        with pytest.raises(AuthenticationError):
            await core.people.accounts.login("acme", "ann", "wrong")
    world.advance(15 * 60)
    await signed_in(core)
    for _ in range(4):
        with pytest.raises(AuthenticationError):
            await core.people.accounts.login("acme", "ann", "wrong")
    await signed_in(core)


async def test_tokens_do_no_more_than_their_owner(core: Core, world: FakeWorld) -> None:
    """A smaller role holds; a larger one is refused; the time is bounded."""
    _, caller = await signed_in(core)
    secret, token = await core.people.accounts.create_token(caller, "ci", Role.VIEWER, 60)
    viewer = await core.people.sessions.authenticate(secret)
    assert viewer.role is Role.VIEWER
    with pytest.raises(AuthorizationError):
        await core.people.accounts.create_token(viewer, "", Role.OWNER, 60)
    with pytest.raises(ValidationError):
        await core.people.accounts.create_token(caller, "", Role.OWNER, 367 * 86_400)
    with pytest.raises(NotFoundError):
        await core.people.accounts.revoke_token(caller, "other", token.id)
    await core.people.accounts.revoke_token(viewer, "acme", token.id)
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate(secret)


async def test_sessions_make_room_for_new_ones(core: Core, world: FakeWorld) -> None:
    """The oldest goes; what a user holds is bounded."""
    first, _ = await signed_in(core)
    for _ in range(MAX_TOKENS):
        world.advance(1)
        _, caller = await signed_in(core)
    with pytest.raises(AuthenticationError):
        await core.people.sessions.authenticate(first)
    assert len(await core.people.accounts.list_tokens(caller, "acme")) == MAX_TOKENS
    world.advance(13 * 3600)
    await core.people.accounts.delete_expired()
    assert await core.people.accounts.list_tokens(caller, "acme") == []


class Counting(PasswordHasher):
    """Counts how often it had to work, and on hashes of which cost."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.worked: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
        """As it is."""
        self.worked.append(str(hash).rpartition("$")[0].rpartition("$")[0])
        return super().verify(hash, password)


async def test_the_same_work_whoever_it_is(core: Core) -> None:
    """Known, unknown, disabled, without a password, malformed: one hash, one answer.

    CVE-2025-6011: so neither the text nor the time tells who has an account.
    """
    hasher = core.people.accounts._passwords._hasher = Counting()
    ann = await core.store.read(lambda tx: people.get_user(tx, "acme", "ann"))
    assert ann is not None
    for row in (replace(ann, name="off", disabled=True), replace(ann, name="sso", password="")):
        await core.store.write(lambda tx, row=row: people.add_user(tx, row))
    told = set()
    names = ["ann", "nobody", "off", "sso", "ANN", "a/b", "", "\0"]
    for org, name in [("nowhere", "ann"), *(("acme", name) for name in names)]:
        with pytest.raises(AuthenticationError) as refused:
            await core.people.accounts.login(org, name, "wrong")
        told.add(str(refused.value))
    assert len(told) == 1
    assert len(hasher.worked) == len(names) + 1
    assert len(set(hasher.worked)) == 1


async def test_strangers_guesses_do_not_keep_the_owner_from_confirming(core: Core) -> None:
    """Signing in and confirming have counters of their own, each with its lock."""
    _, caller = await signed_in(core)
    for _ in range(MAX_FAILURES + 1):
        with pytest.raises(AuthenticationError):
            await core.people.accounts.login("acme", "ann", "wrong")
    assert await core.people.accounts.is_own_password(caller, PASSWORD)
    for _ in range(MAX_FAILURES + 1):
        assert not await core.people.accounts.is_own_password(caller, "wrong")
    assert not await core.people.accounts.is_own_password(caller, PASSWORD)
