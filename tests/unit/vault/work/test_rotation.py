"""Key rotation: only when it is due, through the pipeline, under its own name."""

from actors.testing import FakeWorld
from vault.model.operation import Operation
from vault.work.rotation import KeyRotation


async def test_rotates_when_due_and_only_then() -> None:
    """A KEK that is not due is left alone; one that is due is rotated, then values rewrapped."""
    asked: list[Operation] = []
    due = False

    async def run(op: Operation) -> None:
        asked.append(op)

    rotation = KeyRotation(run, lambda: due, FakeWorld())
    await rotation()
    assert asked == []
    due = True
    await rotation()
    assert [op.name for op in asked] == ["sys.rotate", "sys.rewrap"]
    assert {op.service for op in asked} == {"key-rotation"}
    assert all(op.credential is None for op in asked)
