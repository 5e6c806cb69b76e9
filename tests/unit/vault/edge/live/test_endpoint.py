"""Who may open a feed, and what cuts one."""

import pytest

from tests.unit.vault.edge.live.serving import COOKIE, KEY, Site


@pytest.mark.parametrize(
    ("how", "answer"),
    [
        ({"cookie": ""}, (401, "unauthenticated")),
        ({"cookie": "freehold-agent-1=one"}, (401, "unauthenticated")),
        ({"key": ""}, (401, "unauthenticated")),
        ({"key": "another"}, (401, "unauthenticated")),
        ({"origin": None}, (403, "csrf")),
        ({"origin": None, "site": "same-origin"}, (403, "csrf")),
        ({"site": "cross-site"}, (403, "csrf")),
        ({"origin": "http://evil.example"}, (403, "csrf")),
        ({"origin": "http://127.0.0.1:1"}, (403, "csrf")),
        ({"path": "/api/v1/other"}, (404, "route_not_found")),
    ],
)
async def test_what_is_refused_is_refused_before_the_upgrade(
    site: Site, how: dict[str, str | None], answer: tuple[int, str]
) -> None:
    """By an operation that is on record."""
    assert await site.refusal(**how) == answer  # type: ignore[arg-type]  # its keywords
    (name,) = [op.name for op in site.gate.asked]
    expected = {403: "session.refuse", 404: "request.malformed"}
    assert name == expected.get(answer[0], name)


async def test_a_sealed_vault_has_no_feed(site: Site) -> None:
    """503, as of every operation."""
    site.gate.is_open = False
    assert await site.refusal() == (503, "sealed")


async def test_a_revocation_cuts_it_at_once(site: Site) -> None:
    """4401: the page goes to the door."""
    async with site.open() as talk:
        await talk.say(watch=1, topic="health")
        await talk.next()
        site.gate.streams.cancel_streams(["acc"])
        assert await talk.code() == 4401
    assert site.gate.asked[0].credential == f"{COOKIE}:{KEY}"
    assert site.gate.asked[0].origin.dialect == "live"


async def test_sealing_ends_it_without_ending_the_session(site: Site) -> None:
    """1012: the page comes back by itself."""
    async with site.open() as talk:
        await talk.say(watch=1, topic="health")
        await talk.next()
        site.gate.turned.set()
        assert await talk.code() == 1012
