"""Families end together: in one commit, or, when they are large, dead from the first."""

from typing import Any

import pytest
import trio

from actors.slewed_clock import SlewedClock
from vault.authn import revocation as module
from vault.authn.tokens import NewToken
from vault.errors import AuthenticationError, UnavailableError
from vault.model.records import SessionRow
from vault.store.tables import SESSIONS, USAGE

HOUR = 3600 * 10**9


async def _family(desk: Any, children: int) -> tuple[str, list[str]]:
    _, root = await desk.root()
    text, parent = await desk.token(root, "app", ttl=HOUR)
    made = [await desk.tokens.create(parent, NewToken(ttl=5 * HOUR)) for _ in range(children)]
    return text, [issued.text for issued in made]


async def test_one_commit(desk: Any) -> None:
    """A family within the bound goes in one change."""
    text, _ = await _family(desk, 5)
    before = desk.store.statistics().changes
    await desk.tokens.revoke(await desk.tokens.lookup(text))
    assert desk.store.statistics().changes == before + 1
    assert len(await desk.tokens.list_accessors()) == 1


async def test_large_family(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A larger one goes in several changes, and none of it stands after the first."""
    monkeypatch.setattr(module, "MAX_CASCADE", 2)
    text, children = await _family(desk, 7)
    row, honest, alive = await desk.tokens.lookup(text), desk.store.commit, []

    async def commit(change: Any) -> Any:
        result = await honest(change)
        for child in children:
            try:
                await desk.who(child)
                alive.append(child)
            except AuthenticationError:
                pass
        return result

    monkeypatch.setattr(desk.store, "commit", commit)
    await desk.tokens.revoke(row)
    assert alive == []
    assert len(await desk.tokens.list_accessors()) == 1


async def test_a_crash_between_leaves_nothing_alive(
    desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the store goes away after the first of several commits, no member stands."""
    monkeypatch.setattr(module, "MAX_CASCADE", 2)
    text, children = await _family(desk, 7)
    row, honest, commits = await desk.tokens.lookup(text), desk.store.commit, 0

    async def commit(change: Any) -> Any:
        nonlocal commits
        commits += 1
        if commits > 1:
            raise UnavailableError("store_unavailable", "gone", outcome="none")
        return await honest(change)

    monkeypatch.setattr(desk.store, "commit", commit)
    with pytest.raises(UnavailableError) as caught:
        await desk.tokens.revoke(row)
    assert caught.value.details["outcome"] == "unknown"  # of the whole: something was done
    monkeypatch.setattr(desk.store, "commit", honest)
    for child in [text, *children]:
        with pytest.raises(AuthenticationError):
            await desk.who(child)


async def test_sweep(desk: Any) -> None:
    """Expired tokens go with what descends from them; what is alive or never ends stays."""
    await _family(desk, 3)
    _, root = await desk.root()
    alive, _ = await desk.token(root, "app", ttl=2 * HOUR)
    assert await desk.revoker.revoke_expired(desk.clock) == 0
    desk.world.time += HOUR - 1
    assert await desk.revoker.revoke_expired(desk.clock) == 0
    desk.world.time += 1
    now = desk.world.time
    ahead = SlewedClock(now, lambda: now + 8 * 24 * HOUR, desk.world.uptime)
    assert await desk.revoker.revoke_expired(ahead) == 0  # what was removed would not come back
    assert await desk.revoker.revoke_expired(desk.clock) == 4
    assert await desk.who(alive)
    assert len(await desk.tokens.list_accessors()) == 3
    assert await desk.revoker.revoke_expired(desk.clock) == 0


async def test_sweep_of_a_session_without_its_token(desk: Any) -> None:
    """A row that is left of a session goes, so that no sweep finds it again."""
    left = SessionRow(
        token_id="gone",
        accessor="a",
        user_id="ann",
        created_at=1,
        active_at=1,
        idle=1,
        idle_until=2,
    )
    await desk.store.commit(lambda tx: tx.put(SESSIONS, left))
    assert await desk.revoker.revoke_expired(desk.clock) == 0
    assert await desk.store.get(SESSIONS, "gone") is None


async def test_sweep_of_many(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep goes on page by page; the tokens of one page and their families go first."""
    monkeypatch.setattr(module, "MAX_LIMIT", 2)
    monkeypatch.setattr(module, "MAX_CASCADE", 3)
    await _family(desk, 6)
    desk.world.time += 10 * HOUR
    assert await desk.revoker.revoke_expired(desk.clock) == 7


async def test_sweep_cuts_streams_and_counts(desk: Any) -> None:
    """The streams of a swept token end, and its counts go."""
    _, root = await desk.root()
    _, who = await desk.token(root, "app", ttl=HOUR)
    await desk.usage.flush()
    assert await desk.store.get(USAGE, who.credential)
    with trio.fail_after(30), desk.sessions.open_stream(who.credential) as scope:
        desk.world.time += HOUR
        desk.usage.count_use(who.credential)
        await desk.revoker.revoke_expired(desk.clock)
        await trio.sleep_forever()
    assert scope.cancelled_caught
    await desk.usage.flush()
    assert await desk.store.get(USAGE, who.credential) is None


async def test_renewed_in_time_is_not_swept(desk: Any) -> None:
    """A token that was renewed between the search and the change stays."""
    _, root = await desk.root()
    text, who = await desk.token(root, "app", ttl=HOUR)
    row = await desk.tokens.lookup_self(who)
    kept = await desk.store.commit(
        lambda tx: module._still_expired([row.id, "unknown"], [], row.expires_at - 1, tx)
    )
    assert kept == []
    assert await desk.who(text)
