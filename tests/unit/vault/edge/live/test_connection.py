"""What one browser is told, and that it is looked at again."""

import pytest

from tests.unit.vault.edge.live.serving import Site


async def test_snapshot_then_changes(site: Site) -> None:
    """And nothing more of it once it is not watched any more."""
    async with site.open() as talk:
        await talk.say(watch=7, topic="health")
        assert await talk.next() == {"id": 7, "seq": 1, "snapshot": {"now": {"size": 1}}}
        site.gate.rows["now"]["size"] = 2
        assert await talk.next() == {"id": 7, "seq": 2, "rows": {"now": {"size": 2}}}
        await talk.say(unwatch=7)
        await talk.say(watch=8, topic="link")
        site.gate.rows["now"]["size"] = 3
        while (told := await talk.next())["id"] == 7:
            pass
        assert told["id"] == 8
    assert [(op.name, str(op.path)) for op in site.gate.asked] == [
        ("live.open", "sys/live"), ("live.watch", "sys/health"), ("live.watch", "sys/link"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("topic", "code"), [("nothing", "topic_unknown"), ("audit", "permission_denied")]
)
async def test_a_watch_that_is_refused_is_over(site: Site, topic: str, code: str) -> None:
    """The others go on."""
    site.gate.forbidden = {"sys/audit"}
    async with site.open() as talk:
        await talk.say(watch=1, topic=topic)
        refused = await talk.next()
        assert (refused["id"], refused["error"]["code"]) == (1, code)
        await talk.say(watch=2, topic="health")
        assert (await talk.next())["id"] == 2


async def test_a_policy_that_is_lost_ends_the_watch(site: Site) -> None:
    """Within seconds, while the feed goes on with what is still allowed."""
    async with site.open() as talk:
        await talk.say(watch=1, topic="audit")
        await talk.next()
        site.gate.forbidden = {"sys/audit"}
        assert (await talk.next())["error"]["code"] == "permission_denied"
        site.gate.rows["now"]["size"] = 9
        await talk.say(watch=2, topic="health")
        assert (await talk.next())["id"] == 2


async def test_a_session_that_ends_by_itself_is_over(site: Site) -> None:
    """Expired, or its user is disabled: 4401."""
    async with site.open() as talk:
        site.gate.guest.stands = False
        assert await talk.code() == 4401


async def test_who_does_not_keep_to_the_form_is_shown_out(site: Site) -> None:
    """1008 for what is no request, 1003 for what is no text."""
    async with site.open() as talk:
        await talk.say(nonsense=1)
        assert await talk.code() == 1008
    async with site.open() as talk:
        await talk.socket.send_message(b"bytes")
        assert await talk.code() == 1003
