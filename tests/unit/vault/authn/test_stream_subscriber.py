"""Somebody in a live stream is looked at again, and cut at his revocation."""

from typing import Any

import trio

from tests.unit.vault.authn.conftest import ROOT
from vault.authn.stream_subscriber import StreamSubscriber


async def guest(desk: Any) -> tuple[StreamSubscriber, Any]:
    """A user's session, and its user."""
    user = await desk.users.create(ROOT, "ada", policies=["p"])
    _, by_key = await desk.key(user.id)
    _, who = await desk.token(by_key, ttl=60 * 10**9)
    return StreamSubscriber(who, desk.tokens, desk.sessions, desk.world), user


async def test_he_is_who_he_is_now(desk: Any) -> None:
    """A policy that he lost is gone at the next look, and the session when its time is over."""
    found, user = await guest(desk)
    assert "p" in found.identity.policies
    await desk.users.update(ROOT, user.id, policies=[])
    assert await found.is_still_valid()
    assert "p" not in found.identity.policies
    desk.world.time += 60 * 10**9
    assert not await found.is_still_valid()


async def test_the_revocation_of_what_he_came_by_cuts_him(desk: Any) -> None:
    """The key that the session was made from: nothing waits for the next look."""
    found, user = await guest(desk)
    (key,) = await desk.keys.list_for_user(user.id)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.keys.revoke, ROOT, key.id)
            with found.register_stream() as scope:
                await trio.sleep_forever()
    assert scope.cancelled_caught
    assert not await found.is_still_valid()
