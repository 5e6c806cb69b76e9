"""vault.workers.service: what a worker answers by itself, and until when."""

from typing import Any

import pytest
import trio
import trio.testing

from tests.unit.vault.workers.pages import new_page
from vault.errors import UnavailableError
from vault.model.mounts import MountTable
from vault.model.operation import Origin
from vault.workers.page import OPENING
from vault.workers.service import WorkerService

OPERATION: Any = object()


class FakePipeline:
    """Answers once it may."""

    def __init__(self) -> None:
        self.may = trio.Event()

    async def run_operation(self, _op: object) -> str:
        """Its answer."""
        await self.may.wait()
        return "done"

    async def knows(self, _credential: str | None, _origin: Origin) -> bool:
        """Everybody."""
        await self.may.wait()
        return True

    async def catch_up(self) -> None:
        """At once, once it may."""
        await self.may.wait()


class Stage:
    """A service, the word that says which opening it is, and a pipeline."""

    def __init__(self) -> None:
        page = new_page()
        self.words = page.words
        self.service = WorkerService(page)
        self.pipeline = FakePipeline()

    def open(self, opening: int) -> None:
        """As the worker does when its data path is there; the fleet then says so."""
        self.service.open(opening, self.pipeline, MountTable())  # type: ignore[arg-type]  # as much as it asks for
        self.words[OPENING] = opening


WAYS = [
    lambda service: service.run_operation(OPERATION),
    lambda service: service.knows("s.token", Origin(ip="10.0.0.1")),
    lambda service: service.catch_up(),
]


@pytest.mark.parametrize("ask", WAYS, ids=["run_operation", "knows", "catch_up"])
async def test_nothing_is_answered_unless_the_agent_is_open(ask: Any) -> None:
    """Not before this process has keys, not once the agent seals, not in another opening."""
    stage = Stage()
    stage.pipeline.may.set()

    async def refused() -> None:
        assert not stage.service.is_open
        with pytest.raises(UnavailableError, match="sealed"):
            await ask(stage.service)

    await refused()
    stage.open(1)
    assert stage.service.is_open
    await ask(stage.service)
    stage.words[OPENING] = 0
    await refused()
    stage.words[OPENING] = 2  # the others have opened again; this one has the old keys
    await refused()
    stage.open(2)
    await ask(stage.service)
    await stage.service.shut()
    await refused()


async def test_those_in_flight_have_their_time(autojump_clock: trio.testing.MockClock) -> None:
    """What has begun ends before the keys go; one that hangs does not keep them for ever."""
    stage = Stage()
    stage.open(1)
    answers: list[object] = []

    async def ask() -> None:
        answers.append(await stage.service.run_operation(OPERATION))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(stage.service.shut)
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 2
        stage.pipeline.may.set()
    assert answers == ["done"]
    stage.pipeline.may = trio.Event()
    stage.open(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(3600):
            await stage.service.shut()
        nursery.cancel_scope.cancel()


async def test_what_is_the_leaders_is_not_answered_here() -> None:
    """A route that asks for it and was not relayed is a fault, and no guess."""
    service = Stage().service
    for ask in (service.status, service.reset_unseal):
        with pytest.raises(RuntimeError, match="leader"):
            ask()
    for call in (
        service.initialize(1, 1), service.unseal(b"x"), service.auto_unseal(), service.wait_sealed()
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="leader"):
            await call


def test_requests_are_relayed_while_commits_are_missing() -> None:
    """It is open still: what is in flight ends by itself."""
    stage, behind = Stage(), False
    stage.service.open(1, stage.pipeline, MountTable(), lambda: behind)  # type: ignore[arg-type]  # as much as it asks for
    assert not stage.service.is_serving
    stage.words[OPENING] = 1
    assert stage.service.is_serving
    behind = True
    assert (stage.service.is_open, stage.service.is_serving) == (True, False)
