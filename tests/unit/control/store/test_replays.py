"""Replays in the store: which agents wait for a question, and what goes with age."""

from control.core import Core
from control.model.replays import Replay, ReplayAgent, ReplayNumbers, State
from control.store import replays


def row(id_: str, at: int, expires: int = 100) -> Replay:
    """A replay."""
    return Replay("acme", id_, "p", 0, {"name": "p"}, 1, 2, "ann", at, expires)


async def test_what_is_pending(core: Core) -> None:
    """Of these agents, in time, not answered; the oldest first; of this organization alone."""
    states = {"v1": State.WAITING, "v2": State.ASKED, "v3": State.DONE}

    def change(tx: replays.Tx) -> None:
        for one in (row("b", 2), row("a", 1), row("late", 3, 5)):
            of = [
                ReplayAgent("acme", one.id, v, state, ReplayNumbers(), 1)
                for v, state in states.items()
            ]
            replays.add_replay(tx, one, of)

    await core.store.write(change)
    found = await core.store.read(
        lambda tx: replays.pending_replays(tx, "acme", ["v1", "v2", "v3"], 5)
    )
    assert [id_ for vault, id_ in found if vault == "v1"] == ["a", "b"]
    assert {vault for vault, _ in found} == {"v1", "v2"}
    assert await core.store.read(lambda tx: replays.get_replay(tx, "acme", "a")) == row("a", 1)
    live = await core.store.read(lambda tx: replays.count_open_replays(tx, "acme", 5))
    assert live == 2  # the late one is no longer asked of anybody
    other = await core.store.read(lambda tx: replays.pending_replays(tx, "platform", ["v1"], 5))
    assert other == []
    page = await core.store.read(
        lambda tx: replays.list_replay_agents(tx, "acme", "a", after="v1", limit=1)
    )
    assert [one.vault for one in page] == ["v2"]


async def test_old_ones_go_with_their_agents(core: Core) -> None:
    """Others stay."""
    for one in (row("old", 1), row("new", 9)):
        of = [ReplayAgent("acme", one.id, "v1", State.DONE, ReplayNumbers(denied=3), 1)]
        await core.store.write(lambda tx, one=one, of=of: replays.add_replay(tx, one, of))
    assert await core.store.write(lambda tx: replays.delete_older_replays(tx, 9)) == 1
    kept = await core.store.read(
        lambda tx: [
            (id_, replays.get_replay(tx, "acme", id_) is not None,
             replays.get_replay_agent(tx, "acme", id_, "v1") is not None)
            for id_ in ("old", "new")
        ]
    )  # fmt: skip
    assert kept == [("old", False, False), ("new", True, True)]
