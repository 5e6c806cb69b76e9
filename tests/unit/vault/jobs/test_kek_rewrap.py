"""Rewrapping goes on until a pass is complete, through the pipeline, under its own name."""

from actors.testing import FakeWorld
from vault.jobs.kek_rotation import KekRewrap
from vault.model.operation import Operation
from vault.model.results import RewrapStep


async def test_it_asks_for_steps_while_there_is_anything_to_do() -> None:
    """And for none while there is not."""
    asked: list[Operation] = []
    behind = False

    async def run(op: Operation) -> RewrapStep:
        asked.append(op)
        return RewrapStep(generation=2, moved=1, looked_at=1, complete=len(asked) == 3)

    async def is_behind() -> bool:
        return behind

    rewrap = KekRewrap(run, is_behind, FakeWorld())
    await rewrap()
    assert asked == []
    behind = True
    await rewrap()
    assert [(op.name, op.service) for op in asked] == [("sys.rewrap", "key-rewrap")] * 3
