"""A remembered judgement counts only while every row that it was made from is unchanged."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from protocols.instant import SECOND
from vault.authn import identity_cache
from vault.authn.credential_validity import token_identity
from vault.authn.identity_cache import IdentityCache
from vault.errors import AuthenticationError
from vault.model.identity import Identity, Method
from vault.model.records import RecordStatus
from vault.store.row_cache import MISSING
from vault.store.tables import ROLES, TOKENS

DAYS = 400 * 86_400 * SECOND
ROOT = Identity(id="r", name="root", method=Method.SERVICE, policies=("root",))


class _Line:
    """A user with a role and a key, a token that the key made, and a child of that token."""

    def __init__(self, desk: Any) -> None:
        self.desk = desk

    async def make(self) -> None:
        desk = self.desk
        await desk.roles.put(ROOT, "ops", policies=["ops"])
        self.user = await desk.users.create(ROOT, "ann", roles=["ops"], policies=["app"])
        self.key, holder = await desk.key(self.user.id)
        text, self.parent = await desk.token(holder, "app", "ops", ttl=100 * SECOND)
        self.token, self.child = await desk.token(self.parent, "app", "ops", ttl=1000 * SECOND)
        self.parent_text = text

    async def disable_the_user(self) -> None:
        await self.desk.users.update(ROOT, self.user.id, status=RecordStatus.DISABLED)

    async def revoke_the_key(self) -> None:
        await self.desk.keys.revoke(ROOT, self.desk.scheme.locate(self.key).id)

    async def revoke_the_token(self) -> None:
        await self.desk.tokens.revoke(await self.desk.tokens.find_by_text(self.token))

    async def revoke_the_parent(self) -> None:
        await self.desk.tokens.revoke(await self.desk.tokens.find_by_text(self.parent_text))

    async def let_the_parent_expire(self) -> None:
        self.desk.world.time += 100 * SECOND


@pytest.fixture
async def line(desk: Any) -> _Line:
    """A line of everything that a token can stand on."""
    line = _Line(desk)
    await line.make()
    return line


@pytest.mark.parametrize(
    "event",
    [
        _Line.disable_the_user,
        _Line.revoke_the_key,
        _Line.revoke_the_token,
        _Line.revoke_the_parent,
        _Line.let_the_parent_expire,
    ],
)
async def test_the_next_request_is_refused(
    line: _Line, event: Callable[[_Line], Awaitable[None]]
) -> None:
    """Whatever ends the credential, or anything that it stands on, ends it for the next request."""
    assert await line.desk.who(line.token) is await line.desk.who(line.token)
    await event(line)
    with pytest.raises(AuthenticationError):
        await line.desk.who(line.token)


async def test_what_the_user_lost_is_lost(line: _Line) -> None:
    """A policy that a role or a user loses, or gets back, counts from the next request on."""
    desk = line.desk
    assert "ops" in (await desk.who(line.token)).policies
    await desk.roles.put(ROOT, "ops", policies=["other"])
    assert "ops" not in (await desk.who(line.token)).policies
    await desk.users.update(ROOT, line.user.id, policies=["app", "ops"])
    assert "ops" in (await desk.who(line.token)).policies


async def test_a_row_that_was_not_there(line: _Line) -> None:
    """A judgement stands on the absence of a row as well: a role that comes to be counts."""
    desk = line.desk
    role = await desk.roles.get("ops")
    await desk.store.commit(lambda tx: tx.delete(ROLES, "ops"))
    assert "ops" not in (await desk.who(line.token)).policies
    assert "ops" not in (await desk.who(line.token)).policies
    await desk.store.commit(lambda tx: tx.put(ROLES, role))
    assert "ops" in (await desk.who(line.token)).policies


async def test_a_renewed_token(desk: Any) -> None:
    """A row that is replaced is judged anew, also for the better."""
    _, root = await desk.root()
    text, _ = await desk.token(root, "app", ttl=100 * SECOND)
    row = await desk.tokens.find_by_text(text)
    end = desk.world.time + 500 * SECOND
    await desk.store.commit(lambda tx: tx.put(TOKENS, replace(row, expires_at=end)))
    desk.world.time += 400 * SECOND
    assert await desk.who(text)
    desk.world.time = end
    with pytest.raises(AuthenticationError):
        await desk.who(text)


async def test_without_a_cache(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the cache cannot vouch for a row (evicted, or a shared database) it is judged anew."""
    _, root = await desk.root()
    text, first = await desk.token(root, "app")
    kept = IdentityCache(desk.store, token_identity)
    row = await desk.tokens.find_by_text(text)
    now = desk.world.time
    assert await kept.resolve(row.id, row, now, None) is await kept.resolve(
        row.id, row, now + 1, None
    )
    monkeypatch.setattr(desk.store, "get_cached", lambda *_: MISSING)
    again = await kept.resolve(row.id, row, desk.world.time, None)
    assert again == first
    assert again is not await kept.resolve(row.id, row, desk.world.time, None)


async def test_as_long_as_nothing_was_changed(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one epoch the cache is asked once; after any commit a judgement is held against it."""
    store, (_, root) = desk.store, await desk.root()
    text, _ = await desk.token(root, "app")
    kept: IdentityCache[Any] = IdentityCache(store, token_identity)
    row, epoch, now = await desk.tokens.find_by_text(text), store.change_token, desk.world.time

    async def judged() -> Identity | None:
        return await kept.resolve(row.id, row, now, epoch)

    first = await judged()
    assert (
        kept.cached_row(row.id, epoch) is None
    )  # its rows may have been loaded before and after a change
    assert await judged() is first
    assert kept.cached_row(row.id, epoch) is row
    monkeypatch.setattr(store, "get_cached", lambda *_: MISSING)
    assert await judged() is first
    monkeypatch.undo()
    await store.commit(lambda tx: tx.delete(ROLES, "nobody's"))
    assert kept.cached_row(row.id, store.change_token) is None


async def test_a_row_that_the_database_had(desk: Any) -> None:
    """Says nothing of the time after: who was not in the cache is not taken for unchanged."""
    _, root = await desk.root()
    text, _ = await desk.token(root, "app")
    kept: IdentityCache[Any] = IdentityCache(desk.store, token_identity)
    row = await desk.tokens.find_by_text(text)
    for _ in range(3):
        assert await kept.resolve(row.id, row, desk.world.time, None)
        assert kept.cached_row(row.id, desk.store.change_token) is None


async def test_a_judged_credential_costs_no_look(
    line: _Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as nothing was changed."""
    desk = line.desk
    for _ in range(2):
        await desk.who(line.token)
    monkeypatch.setattr(desk.store, "get_cached", None)
    monkeypatch.setattr(desk.store, "get", None)
    assert await desk.who(line.token)


async def test_a_change_during_the_look_counts_for_the_next_one(
    line: _Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may commit at any line: what was found before is not of the time after."""
    desk, cached = line.desk, line.desk.store.get_cached
    for _ in range(2):
        await desk.who(line.token)
    await desk.store.commit(lambda tx: tx.delete(ROLES, "nobody's"))  # the next one looks
    token = desk.scheme.locate(line.token).id

    def look(table: Any, *key: str) -> Any:
        found = cached(table, *key)
        if table is TOKENS and key == (token,):
            monkeypatch.setattr(desk.store, "get_cached", cached)
            desk.store._cache.apply_commit([(TOKENS, key, None)])
        return found

    monkeypatch.setattr(desk.store, "get_cached", look)
    assert await desk.who(line.token)  # begun before it
    with pytest.raises(AuthenticationError):
        await desk.who(line.token)


async def test_a_shared_database_is_asked_each_time(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is cached nothing says that a row is unchanged, be it the very same."""
    text, _ = await desk.root()  # stands on nothing but itself
    there: Any = await desk.tokens.find_by_text(text)

    async def load(*_: object) -> Any:
        return there

    monkeypatch.setattr(desk.store, "get_cached", lambda *_: MISSING)
    monkeypatch.setattr(desk.store, "get", load)
    for _ in range(3):
        assert await desk.who(text)
    there = None  # another agent has revoked it
    with pytest.raises(AuthenticationError):
        await desk.who(text)


async def test_bound(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more judgements are kept than the bound says."""
    monkeypatch.setattr(identity_cache, "MAX_IDENTITIES", 2)
    _, root = await desk.root()
    kept = IdentityCache(desk.store, token_identity)
    rows = [await desk.tokens.find_by_text((await desk.token(root, "app"))[0]) for _ in range(3)]
    first = [await kept.resolve(row.id, row, desk.world.time, None) for row in rows]
    again = [await kept.resolve(row.id, row, desk.world.time, None) for row in reversed(rows)]
    assert [one is two for one, two in zip(first, reversed(again), strict=True)] == [
        False, True, True,
    ]  # fmt: skip


async def test_of_a_clock_that_was_ahead(desk: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A judgement of then does not count when the clock is right; the operator hears why, once."""
    root_text, root = await desk.root()
    right, _ = await desk.token(root, "app", ttl=100 * SECOND)
    desk.world.time += DAYS
    wrong, who = await desk.token(root, "app", ttl=100 * SECOND)
    assert await desk.who(wrong)
    with pytest.raises(AuthenticationError):
        await desk.who(right)
    desk.world.time -= DAYS
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            await desk.who(wrong)
    assert await desk.who(right)
    assert await desk.who(root_text)
    [told] = caplog.messages
    assert told.startswith(f"tokens {who.credential} is refused")
    assert wrong not in told
