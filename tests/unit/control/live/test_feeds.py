"""What a live feed promises, over a real websocket."""

import json
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio
import trio_websocket as ws

from actors.testing import FakeWorld
from control.core import Core, live_services
from control.live.endpoint import LiveEndpoint
from control.live.hub import LiveHub
from control.model.people import Caller, Role
from protocols.http import Limits, serve
from tests.unit.control.conftest import PASSWORD, ROOT
from tests.unit.control.fleet import enrolled
from tests.unit.control.live.conftest import Link
from tests.unit.control.live.serving import Site


@pytest.fixture
async def site(core: Core, world: FakeWorld, hub: LiveHub, nursery: trio.Nursery) -> Site:
    """Served, with an agent, a viewer of its organization, and another organization with one."""
    await enrolled(core, world, "v1")
    await core.people.users.create_user(None, "acme", "vic", Role.VIEWER, PASSWORD)
    await core.people.users.create_organization("other", "")
    door = LiveEndpoint(live_services(core), hub)
    run = partial(serve, door, host="127.0.0.1", port=0, tls=None, limits=Limits(), websockets=True)
    handle = await nursery.start(run)
    return Site(core, door, handle.port)


async def test_snapshot_then_changes(site: Site, hub: LiveHub) -> None:
    """And nothing more of it once it is not watched any more."""
    async with site.open() as talk:
        await talk.say(watch=7, topic="fleet", org="acme")
        first = await talk.next()
        assert (first["id"], first["seq"], list(first["snapshot"])) == (7, 1, ["v1"])
        link = Link()
        hub.on_linked("acme", "v1", link)
        assert await talk.next() == {"id": 7, "seq": 2, "rows": {"v1": {"linked": True}}}
        await talk.say(unwatch=7)
        await talk.say(watch=8, topic="alerts", org="acme")
        assert (await talk.next())["id"] == 8
        hub.on_unlinked("acme", "v1", link)
        await talk.say(watch=9, topic="alerts", org="acme")
        assert (await talk.next())["id"] == 9


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"topic": "fleet", "org": "other"}, "not_found"),
        ({"topic": "fleet", "org": "nowhere"}, "not_found"),
        ({"topic": "fleet", "org": "platform"}, "not_found"),
        ({"topic": "fleet"}, "permission_denied"),
        ({"topic": "agent", "org": "acme", "of": "v9"}, "not_found"),
        ({"topic": "agent", "org": "other", "of": "v1"}, "not_found"),
        ({"topic": "agent", "org": "acme"}, "of_missing"),
        ({"topic": "fleet", "org": "acme", "of": "v1"}, "of_missing"),
        ({"topic": "changes", "org": "acme"}, "permission_denied"),
        ({"topic": "secrets", "org": "acme"}, "topic_unknown"),
    ],
)
async def test_what_a_viewer_may_not_see_is_refused(
    site: Site, request_: dict[str, Any], code: str
) -> None:
    """By a message, for another tenant as for what is not there; the feed stays open."""
    async with site.open(await site.session("vic")) as talk:
        await talk.say(watch=1, **request_)
        answer = await talk.next()
        assert (answer["id"], answer["error"]["code"]) == (1, code)
        await talk.say(watch=1, topic="alerts", org="acme")
        assert "snapshot" in await talk.next()


@pytest.mark.parametrize(
    "request_", [{"topic": "fleet", "org": "other"}, {"topic": "changes", "org": "acme"}]
)
async def test_reaching_too_far_is_on_the_own_trail(site: Site, request_: dict[str, Any]) -> None:
    """Who, and what it reached for."""
    async with site.open(await site.session("vic")) as talk:
        await talk.say(watch=1, **request_)
        await talk.next()
    row = (await site.core.audit.log.newest_events("acme", 0, 1))[0]
    assert (row.actor, row.operation, row.result) == ("acme/vic", "live.watch", "denied")
    assert request_["topic"] in row.target


@pytest.mark.parametrize("how", ["logout", "role", "disabled", "password", "deleted"])
async def test_the_end_of_a_session_is_the_end_of_its_feed_at_once(site: Site, how: str) -> None:
    """4401, however it ended."""
    core = site.core
    session = await site.session("vic")
    async with site.open(session) as talk, site.open() as other:
        await talk.say(watch=1, topic="fleet", org="acme")
        await talk.next()
        with trio.fail_after(30):
            await end(core, how)
            assert await talk.code() == 4401
        await other.say(watch=1, topic="alerts", org="acme")
        assert "snapshot" in await other.next()
    assert await site.refusal(session) == (401, "unauthenticated")


async def end(core: Core, how: str) -> None:
    """Have vic's session end."""
    by = ROOT
    match how:
        case "logout":
            token = (
                await core.people.accounts.list_tokens(
                    Caller("acme", "vic", Role.VIEWER, "-"), "acme"
                )
            )[0]
            await core.people.sessions.logout(Caller("acme", "vic", Role.VIEWER, token.id))
        case "role":
            await core.people.users.change_user(
                by, "acme", "vic", role=Role.OPERATOR, disabled=None
            )
        case "disabled":
            await core.people.users.change_user(by, "acme", "vic", role=None, disabled=True)
        case "password":
            await core.people.users.set_password(by, "acme", "vic", "another horse battery")
        case "deleted":
            await core.people.users.delete_user(by, "acme", "vic")


@pytest.mark.parametrize(
    "text", ["", "hello", '{"watch": 1}', '{"watch": 1, "topic": "fleet", "evil": 1}', "x" * 5000]
)
async def test_what_is_no_request_ends_the_feed(site: Site, text: str) -> None:
    """1008, and nobody else's."""
    async with site.open() as talk, site.open() as other:
        await talk.socket.send_message(text)
        assert await talk.code() == 1008
        await other.say(watch=1, topic="alerts", org="acme")
        assert "snapshot" in await other.next()


async def test_bytes_are_no_request(site: Site) -> None:
    """1003: requests are text."""
    async with site.open() as talk:
        await talk.socket.send_message(b"{}")
        assert await talk.code() == 1003


async def test_too_many_watches_or_requests_end_the_feed(site: Site) -> None:
    """1008."""
    async with site.open() as talk:
        with suppress(ws.ConnectionClosed):
            for number in range(17):
                await talk.say(watch=number, topic="alerts", org="acme")
        assert await talk.code() == 1008
    async with site.open() as talk:
        with suppress(ws.ConnectionClosed):
            for _ in range(40):
                await talk.socket.send_message('{"unwatch": 1}')
        assert await talk.code() == 1008


async def test_a_feed_that_is_gone_leaves_nothing_behind(site: Site, hub: LiveHub) -> None:
    """Its watches are left, so that views can be forgotten and agents are left alone."""
    async with site.open() as talk:
        await talk.say(watch=1, topic="fleet", org="acme")
        await talk.next()
        assert any(keeper.has_subscribers for keeper in hub._workers.values())
    with trio.fail_after(30):
        while site.door.open_feeds:  # noqa: ASYNC110  # the server's end is another task's
            await trio.sleep(0.01)
    assert not any(keeper.has_subscribers for keeper in hub._workers.values())


async def test_a_browser_that_does_not_read_holds_up_nobody(site: Site, hub: LiveHub) -> None:
    """Others see every change; it gets what is, once it reads again."""
    async with site.open() as slow, site.open() as quick:
        for talk in (slow, quick):
            await talk.say(watch=1, topic="fleet", org="acme")
            await talk.next()
        link = Link()
        for _ in range(5):
            hub.on_linked("acme", "v1", link)
            assert json.dumps(await quick.next()).count('"linked": true')
            hub.on_unlinked("acme", "v1", link)
            assert json.dumps(await quick.next()).count('"linked": false')
