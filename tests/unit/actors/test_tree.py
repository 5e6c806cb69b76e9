"""Promises of the live tree: what it counts, and that it is frozen and holds no text."""

from __future__ import annotations

import dataclasses

import pytest
import trio
import trio.testing

from actors import Branch, SystemWorld, supervise
from actors.testing import EAGER, CrashError, Diary, FakeWorld, probes, quiet


async def test_snapshot_shows_every_actor() -> None:
    """Names are paths in start order; kinds and states are those of now."""
    children = [*probes("a", Diary()), Branch("br", probes("x", Diary()))]
    async with supervise("s", children, world=SystemWorld()) as sup:
        tree = sup.snapshot()
    assert [(n.name, n.kind, n.state) for n in tree.walk()] == [
        ("s", "one_for_one", "running"),
        ("s/a", "Probe", "running"),
        ("s/br", "one_for_one", "running"),
        ("s/br/x", "Probe", "running"),
    ]


async def test_snapshot_is_frozen() -> None:
    """What was seen does not change afterwards, by nobody's hand and by no event."""
    async with supervise("s", probes("a", Diary()), world=SystemWorld()) as sup:
        before = sup.snapshot()
        await sup.ref("a").call("x", 1)
        assert before.children[0].handled == 0
        assert sup.snapshot().children[0].handled == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.name = "other"  # type: ignore[misc]


async def test_time_per_message_is_the_worlds() -> None:
    """Mean over messages and longest turn, on world.monotonic; a crash counts no message."""
    world = FakeWorld()

    def taking(seconds: float) -> object:
        async def work() -> None:
            world.advance(seconds)

        return work

    async with supervise("s", probes("a", Diary()), policy=EAGER, world=world, report=quiet) as sup:
        for seconds in (3.0, 1.0):
            await sup.ref("a").call(taking(seconds), 1)
        with pytest.raises(CrashError):
            await sup.ref("a").call(CrashError(), 1)
        node = sup.snapshot().children[0]
        assert (node.handled, node.mean_time, node.max_time) == (2, 2.0, 3.0)


async def test_mailbox_is_shown_as_it_is() -> None:
    """Depth without what is in hand, the bound, its overflow choice and counts."""
    async with supervise("s", probes("a", Diary(), mailbox=2), world=SystemWorld()) as sup:
        release = trio.Event()
        sup.ref("a").cast_nowait(release.wait)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            sup.ref("a").cast_nowait("x")
        box = sup.snapshot().children[0].mailbox
        assert box is not None
        assert (box.depth, box.bound, box.overflow, box.waiting) == (2, 2, "wait", 0)
        assert (box.dropped, box.refused, box.expired, box.lost) == (0, 0, 0, 0)
        release.set()


async def test_last_failure_is_a_type_and_no_text() -> None:
    """A secret in an exception's text never reaches the tree."""
    async with supervise(
        "s", probes("a", Diary()), policy=EAGER, world=SystemWorld(), report=quiet
    ) as sup:
        with pytest.raises(CrashError):
            await sup.ref("a").call(CrashError("canary-5f1d"), 1)
        await sup.ref("a").call("x", 1)
        tree = sup.snapshot()
    assert tree.children[0].last_failure == "CrashError"
    assert tree.children[0].restarts == 1
    assert "canary" not in repr(tree)
