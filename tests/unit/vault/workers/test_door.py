"""vault.workers.door: reads go through, all else is the leader's."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from vault.model.mounts import MountTable
from vault.model.operation import Operation, OperationType, Origin
from vault.model.path import ResourcePath
from vault.workers.door import WorkerDoor
from vault.workers.elsewhere import Elsewhere
from vault.workers.reading import Reading


class FakePipeline:
    """Answers with the operation's name, once it may."""

    def __init__(self) -> None:
        self.may = trio.Event()
        self.is_his = False  # the leader's

    async def run_operation(self, op: Operation) -> object:
        """Wait, and answer."""
        await self.may.wait()
        if self.is_his:
            raise Elsewhere
        return op.name


class FakeFollower:
    """Current until told otherwise."""

    def __init__(self) -> None:
        self.current = True

    async def is_current(self) -> bool:
        """As told."""
        await trio.lowlevel.checkpoint()
        return self.current


async def leader(op: Operation) -> object:
    """What an operation comes to that he runs."""
    await trio.lowlevel.checkpoint()
    return f"{op.name} of the leader"


def operation(name: str, payload: object = None, *, part: bool = False) -> Operation:
    """One of this name."""
    return Operation(
        type=OperationType(name),
        path=ResourcePath.parse("secret/a"),
        payload=payload,
        request_id="r",
        credential="t",
        origin=Origin(ip="10.0.0.1"),
        part=part,
    )


def opened() -> tuple[WorkerDoor, FakePipeline]:
    """An open door and what is behind it."""
    door, pipeline, nothing = WorkerDoor(leader), FakePipeline(), Any
    parts: tuple[Any, ...] = (pipeline, MountTable(), FakeFollower(), nothing, nothing, nothing)
    door.open(Reading(*parts))
    return door, pipeline


async def test_shut() -> None:
    """Nothing goes through a shut door, and what went through before is waited for."""
    door, pipeline = opened()
    done: list[object] = []

    async def read() -> None:
        done.append(await door.run_operation(operation("secret.read")))

    async def shut() -> None:
        await door.shut()
        done.append("shut")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(shut)
        await trio.testing.wait_all_tasks_blocked()
        assert done == []
        assert not await door.serves()
        with pytest.raises(Elsewhere):
            await door.run_operation(operation("secret.read"))
        pipeline.may.set()
    assert done == ["secret.read", "shut"]
    with pytest.raises(Elsewhere):
        _ = door.mounts


@pytest.mark.parametrize(
    "ask",
    [
        lambda door: door.initialize(1, 1),
        lambda door: door.unseal(b"share"),
        lambda door: door.auto_unseal(),
        lambda door: door.wait_sealed(),
    ],
)
async def test_the_vaults_life_is_the_leaders(ask: Callable[[WorkerDoor], Awaitable[Any]]) -> None:
    """Init, unseal and seal are not a worker's."""
    with pytest.raises(Elsewhere):
        await ask(opened()[0])


def test_the_vaults_state_is_the_leaders() -> None:
    """So is what is told of it."""
    door = WorkerDoor(leader)
    for ask in (door.status, door.reset_unseal, lambda: door.is_open, lambda: door.mounts):
        with pytest.raises(Elsewhere):
            ask()  # type: ignore[operator]
