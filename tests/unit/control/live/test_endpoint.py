"""What control.live.endpoint promises, over a real websocket."""

from contextlib import AsyncExitStack
from functools import partial

import pytest
import trio

from actors.testing import FakeWorld
from control.authn.session_opener import SessionRequest
from control.core import Core, live_services
from control.live.endpoint import MAX_FEEDS, RECORDS_PER_MINUTE, LiveEndpoint
from control.live.hub import LiveHub
from control.model.people import PLATFORM, Role, TokenKind
from protocols.http import Limits, serve
from tests.unit.control.conftest import PASSWORD, ROOT
from tests.unit.control.live.serving import PATIENCE, Site


@pytest.fixture
async def site(core: Core, hub: LiveHub, nursery: trio.Nursery) -> Site:
    """Served."""
    door = LiveEndpoint(live_services(core), hub)
    run = partial(serve, door, host="127.0.0.1", port=0, tls=None, limits=Limits(), websockets=True)
    handle = await nursery.start(run)
    return Site(core, door, handle.port)


async def told(core: Core) -> list[tuple[str, str, str, str]]:
    """The platform's trail of refused feeds."""
    rows = await core.audit.log.newest_events(PLATFORM, 0, 1000)
    return [(r.operation, r.result, r.code, r.ip) for r in rows if r.operation == "live.open"]


async def test_a_session_of_our_own_page_opens_a_feed(site: Site) -> None:
    """And is counted as long as it is open."""
    async with site.open() as talk:
        await talk.say(watch=1, topic="alerts", org="acme")
        assert await talk.next() == {"id": 1, "seq": 1, "snapshot": {}}
        assert site.door.open_feeds == 1


@pytest.mark.parametrize("session", ["", "fhs_guess:fhk_guess", ":fhk_guess"])
async def test_without_a_session_there_is_no_upgrade(site: Site, session: str) -> None:
    """401 before it, on the platform's trail, with where it came from."""
    assert await site.refusal(session) == (401, "unauthenticated")
    assert await told(site.core) == [("live.open", "denied", "unauthenticated", "127.0.0.1")]
    assert site.door.refused_feeds == 1


@pytest.mark.parametrize("origin", [None, "http://evil.test", "null", "https://127.0.0.1:1"])
async def test_another_origin_is_refused_whatever_its_cookie(
    site: Site, origin: str | None
) -> None:
    """403 before the upgrade, on the trail: also where a browser says no origin at all."""
    assert await site.refusal(origin=origin) == (403, "origin")
    assert await told(site.core) == [("live.open", "denied", "origin", "127.0.0.1")]


async def test_a_bearer_credential_is_no_cookie(site: Site) -> None:
    """What a program signed in with opens no feed, even if a cookie carries it."""
    secret, _ = await site.core.people.accounts.login("acme", "ann", "correct horse battery")
    assert await site.refusal(f"{secret}:fhk_guess") == (401, "unauthenticated")


async def test_a_cookie_alone_opens_no_feed(site: Site) -> None:
    """Another port of the host reads it: without the session key it is nobody's, on the trail."""
    cookie, _, key = (await site.session()).partition(":")
    assert await site.refusal(cookie) == (401, "session_key")
    assert await told(site.core) == [("live.open", "denied", "session_key", "127.0.0.1")]
    foreign = (await site.session()).partition(":")[2]
    assert await site.refusal(f"{cookie}:{foreign}") == (401, "unauthenticated")
    async with site.open(f"{cookie}:{key}"):
        pass


async def test_other_paths_are_not_there(site: Site) -> None:
    """For whoever asks."""
    assert await site.refusal(path="/api/v1/other") == (404, "not_found")


async def test_strangers_do_not_fill_the_trail(site: Site, world: FakeWorld) -> None:
    """So many refusals a minute are recorded; all are counted."""
    world.step_wall(60 - world.now() / 1e9 % 60)  # a minute that does not end meanwhile
    for _ in range(RECORDS_PER_MINUTE + 5):
        assert (await site.refusal(""))[0] == 401
    assert len(await told(site.core)) == RECORDS_PER_MINUTE
    assert site.door.refused_feeds == RECORDS_PER_MINUTE + 5


async def test_one_session_does_not_take_all_feeds(site: Site) -> None:
    """Beyond its bound it is refused with 429; another session, and a feed that ended, are not."""
    session = await site.session()
    async with AsyncExitStack() as feeds:
        for _ in range(MAX_FEEDS["session"] - 1):
            await feeds.enter_async_context(site.open(session))
        async with site.open(session):
            assert await site.refusal(session) == (429, "too_many_feeds")
            async with site.open():
                pass
        with trio.fail_after(PATIENCE):
            while site.door.open_feeds == MAX_FEEDS["session"]:
                await trio.lowlevel.checkpoint()
        async with site.open(session):
            assert site.door.open_feeds == MAX_FEEDS["session"]


async def test_one_account_does_not_take_all_feeds(site: Site) -> None:
    """However many sessions it opens."""
    async with AsyncExitStack() as feeds:
        while site.door.open_feeds < MAX_FEEDS["account"]:
            session = await site.session()
            for _ in range(MAX_FEEDS["session"]):
                await feeds.enter_async_context(site.open(session))
        assert await site.refusal() == (429, "too_many_feeds")


async def test_one_organization_does_not_take_all_feeds(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many accounts it has: another organization's pages are live."""
    monkeypatch.setitem(MAX_FEEDS, "organization", 1)
    await site.core.people.users.create_user(ROOT, "acme", "bob", Role.VIEWER, PASSWORD)
    await site.core.people.users.create_user(None, PLATFORM, "pam", Role.OWNER, PASSWORD)
    async with site.open(await site.session()):
        assert await site.refusal(session=await site.session("bob")) == (429, "too_many_feeds")
        secret, _ = await site.core.people.accounts.login(
            PLATFORM, "pam", PASSWORD, SessionRequest(TokenKind.BROWSER)
        )
        async with site.open(secret):
            assert site.door.open_feeds == 2
