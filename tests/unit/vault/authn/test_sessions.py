"""A token that an API key is turned into is a session: so long, and so many of them."""

from typing import Any

import pytest

from protocols.instant import SECOND
from tests.unit.vault.authn.conftest import ROOT
from vault.authn.sessions import SessionLimits
from vault.authn.tokens import NewToken, Tokens
from vault.errors import ConflictError
from vault.model.identity import Identity

HOUR = 3600 * SECOND


@pytest.fixture
async def ann(desk: Any) -> Identity:
    """A user with a key, where sessions last two hours and there may be two."""
    rule = SessionLimits(timeout=2 * HOUR, max_per_user=2)
    desk.tokens = Tokens(desk.store, desk.scheme, desk.revoker, desk.world, rule)
    user = await desk.users.create(ROOT, "ann", policies=["app"])
    _, identity = await desk.key(user.id)
    assert isinstance(identity, Identity)
    return identity


@pytest.mark.parametrize(
    ("asked", "ttl", "most", "warned"),
    [
        ({}, 2 * HOUR, 2 * HOUR, False),
        ({"ttl": HOUR}, HOUR, 2 * HOUR, False),
        ({"ttl": 3 * HOUR}, 2 * HOUR, 2 * HOUR, True),
        ({"explicit_max_ttl": HOUR}, HOUR, HOUR, False),
        ({"explicit_max_ttl": 9 * HOUR}, 2 * HOUR, 2 * HOUR, False),
    ],
)
async def test_it_lasts_no_longer(
    desk: Any, ann: Identity, asked: dict[str, int], ttl: int, most: int, *, warned: bool
) -> None:
    """Renewals included; who asked for more is told."""
    made = await desk.tokens.create(ann, NewToken(**asked))
    assert (made.row.ttl, made.row.explicit_max_ttl, bool(made.warnings)) == (ttl, most, warned)
    desk.world.time += ttl - SECOND
    renewed = await desk.tokens.renew(made.row, 9 * HOUR)
    assert renewed.row.expires_at == made.row.created_at + most


async def test_there_are_no_more_than_so_many(desk: Any, ann: Identity) -> None:
    """One that was revoked or has expired makes room; whatever it made does not count."""
    first_text, first = await desk.token(ann)
    await desk.token(ann, ttl=HOUR)
    await desk.token(first)  # a child of the first
    with pytest.raises(ConflictError, match="there are 2 sessions of this user"):
        await desk.token(ann)
    await desk.tokens.revoke(await desk.tokens.lookup(first_text))
    await desk.token(ann, ttl=HOUR)
    with pytest.raises(ConflictError):
        await desk.token(ann)
    desk.world.time += HOUR
    await desk.token(ann)


async def test_each_user_has_his_own(desk: Any, ann: Identity) -> None:
    """All of one user's keys together."""
    _, other_key = await desk.key(ann.id)
    await desk.token(ann)
    await desk.token(other_key)
    with pytest.raises(ConflictError):
        await desk.token(ann)
    bob = await desk.users.create(ROOT, "bob", policies=["app"])
    _, his = await desk.key(bob.id)
    await desk.token(his)


async def test_what_root_makes_is_no_session(desk: Any, ann: Identity) -> None:
    """Nor an orphan, nor a token with more than its maker has."""
    _, root = await desk.root()
    await desk.token(ann)
    await desk.token(ann)
    for caller, new, sudo in (
        (root, NewToken(policies=("app",)), False),
        (ann, NewToken(no_parent=True), True),
        (ann, NewToken(policies=("other",)), True),
    ):
        made = await desk.tokens.create(caller, new, sudo=sudo)
        assert made.row.ttl == 768 * HOUR


async def test_those_of_a_clock_that_was_ahead_take_no_room(desk: Any, ann: Identity) -> None:
    """They are refused, so nobody is kept from signing in by them."""
    desk.world.time += 400 * 24 * HOUR
    await desk.token(ann)
    await desk.token(ann)
    desk.world.time -= 400 * 24 * HOUR
    assert await desk.token(ann)
