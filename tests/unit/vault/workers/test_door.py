"""vault.workers.door: reads go through, all else is the leader's."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from vault.model.mounts import MountTable
from vault.model.operation import Operation, OperationType, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import ListKeys, ReadMetadata, WriteSecret
from vault.workers.door import WorkerDoor, may_serve
from vault.workers.elsewhere import Elsewhere
from vault.workers.reading import METADATA, Reading
from vault.workers.writes import MOST_BYTES


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


async def test_reads_go_through() -> None:
    """So do writes and what tells of a token itself; other changes do not, nor the rest."""
    door, pipeline = opened()
    pipeline.may.set()
    assert await door.serves()
    write = operation("secret.write", WriteSecret(value=b"{}"))
    assert await door.run_operation(operation("secret.read")) == "secret.read"
    assert await door.run_operation(write) == "secret.write"
    assert await door.run_operation(operation("token.lookup_self")) == "token.lookup_self"
    for name in ("secret.patch", "token.renew_self", "sys.seal", "secret.metadata.write"):
        with pytest.raises(Elsewhere):
            await door.run_operation(operation(name))


@pytest.mark.parametrize(
    ("name", "here", "his"),
    [
        (METADATA, ReadMetadata(), ReadMetadata(uses=True)),
        ("secret.keys", ListKeys(), ListKeys(looked_at=True)),
    ],
)
async def test_what_only_the_leader_knows_is_his(name: str, here: object, his: object) -> None:
    """How often a secret was read, and what is so at each of a list: before anything is done."""
    door, pipeline = opened()
    pipeline.may.set()
    assert await door.run_operation(operation(name, here)) == name
    with pytest.raises(Elsewhere):
        await door.run_operation(operation(name, his))


@pytest.mark.parametrize(
    "large",
    [
        WriteSecret(value=b"0" * (MOST_BYTES + 1)),
        WriteSecret(value=b"0", metadata={"k": "0" * MOST_BYTES}),
        WriteSecret(value=b"0", tags=["0" * MOST_BYTES]),
    ],
)
async def test_a_large_write_is_the_leaders(large: WriteSecret) -> None:
    """No other write waits behind it."""
    door, pipeline = opened()
    pipeline.may.set()
    with pytest.raises(Elsewhere):
        await door.run_operation(operation("secret.write", large))


@pytest.mark.parametrize(
    ("method", "path", "may"),
    [
        ("GET", b"/v1/sys/mounts", True),
        ("LIST", b"/v1/secret/metadata/", True),
        ("POST", b"/v1/secret/data/a", True),
        ("PUT", b"/v1/secret/data/a", True),
        ("POST", b"/api/v1/secrets", True),
        ("PUT", b"/api/v1/secrets/secret/a", True),
        ("POST", b"/v1/kv/a", True),
        ("POST", b"/v1/secret/metadata/a", False),
        ("PUT", b"/v1/secret/destroy/a", False),
        ("POST", b"/v1/secret/delete/a", False),
        ("POST", b"/v1/secret/undelete/a", False),
        ("POST", b"/other/data/a", False),
        ("PATCH", b"/v1/secret/data/a", False),
        ("DELETE", b"/v1/secret/data/a", False),
        ("POST", b"/v1/sys/seal", False),
        ("POST", b"/api/v1/batch/read", True),
        ("POST", b"/api/v1/batch/write", True),
        ("POST", b"/v1/auth/token/create", False),
    ],
)
def test_what_may_be_done_here(method: str, path: bytes, may: bool) -> None:  # a parameter
    """Reads, and requests of one write or of several operations."""
    assert may_serve(method, path) is may


async def test_each_of_several_is_by_itself() -> None:
    """It is decided on what is so when it begins, and the leader is asked for those that are his.

    A request of one operation is his whole.
    """
    door, pipeline = opened()
    pipeline.may.set()
    assert door._reading is not None
    follower: Any = door._reading.follower
    large = WriteSecret(value=b"0" * (MOST_BYTES + 1))
    assert await door.run_operation(operation("secret.read", part=True)) == "secret.read"
    told = await door.run_operation(operation("secret.write", large, part=True))
    assert told == "secret.write of the leader"
    follower.current = False
    assert (
        await door.run_operation(operation("secret.read", part=True)) == "secret.read of the leader"
    )
    follower.current = True
    pipeline.is_his = True
    assert (
        await door.run_operation(operation("secret.read", part=True)) == "secret.read of the leader"
    )
    with pytest.raises(Elsewhere):
        await door.run_operation(operation("secret.read"))
    pipeline.is_his = False
    await door.shut()
    assert (
        await door.run_operation(operation("secret.read", part=True)) == "secret.read of the leader"
    )


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
