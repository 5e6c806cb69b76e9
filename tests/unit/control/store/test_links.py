"""Links move forward, and only for the agent that is meant."""

from control.core import Core
from control.model.links import AgentLink, OutgoingMessage
from control.store import links
from control.store.rows import Tx


def row(vault: str, **fields: int) -> AgentLink:
    """A link of `acme`."""
    whole = {"newest": 0, "acknowledged": 0, "bundle": 0, "bundle_id": 0, "checkpoint": 0}
    whole |= {"checkpoint_id": 0, "applied": 0} | fields
    return AgentLink(org="acme", vault=vault, stream=b"s" * 16, peer=b"", **whole)


async def test_an_acknowledgement_never_goes_back(core: Core) -> None:
    """And forgets what waited, of this agent alone."""

    def change(tx: Tx) -> tuple[int, list[int], list[int]]:
        for vault in ("a", "b"):
            links.put_links(tx, row(vault, newest=3))
            for number in (1, 2, 3):
                links.add_outgoing(tx, OutgoingMessage("acme", vault, number, "command", b"x"))
        links.acknowledge_outgoing(tx, [("acme", "a", 2)])
        links.acknowledge_outgoing(tx, [("acme", "a", 1)])
        found = links.get_link(tx, "acme", "a")
        assert found is not None
        left = [
            [x.id for x in links.waiting_messages(tx, "acme", vault, after=0, limit=9)]
            for vault in ("a", "b")
        ]
        return found.acknowledged, left[0], left[1]

    assert await core.store.write(change) == (2, [3], [1, 2, 3])


async def test_what_waits_gets_new_numbers_for_a_new_stream(core: Core) -> None:
    """From 1 on, in the old order."""

    def change(tx: Tx) -> list[tuple[int, bytes]]:
        for number in (4, 7, 9):
            links.add_outgoing(tx, OutgoingMessage("acme", "a", number, "command", b"%d" % number))
        assert links.renumber_outgoing(tx, "acme", "a") == 3
        return [
            (x.id, x.payload) for x in links.waiting_messages(tx, "acme", "a", after=0, limit=9)
        ]

    assert await core.store.write(change) == [(1, b"4"), (2, b"7"), (3, b"9")]


async def test_a_cursor_is_of_one_agent(core: Core) -> None:
    """The same vault name in another organization has its own."""

    def change(tx: Tx) -> list[int]:
        links.put_links(tx, row("a"))
        links.put_links(tx, AgentLink(**{**_fields(row("a")), "org": "other"}))
        links.move_cursors(tx, row("a", applied=5))
        found = [links.get_link(tx, org, "a") for org in ("acme", "other")]
        return [x.applied for x in found if x is not None]

    assert await core.store.write(change) == [5, 0]


def _fields(link: AgentLink) -> dict:  # type: ignore[type-arg]
    return {name: getattr(link, name) for name in link.__struct_fields__}
