"""Key rotation: only when it is due, through the pipeline, under its own name."""

import pytest

from actors.testing import FakeWorld
from protocols.link.vocabulary import AlertCode
from vault.errors import UnavailableError
from vault.jobs.kek_rotation import KekRotation
from vault.model.operation import Operation


async def test_rotates_when_due_and_only_then() -> None:
    """A KEK that is not due is left alone; one that is due is rotated, then values rewrapped."""
    asked: list[Operation] = []
    due = False

    async def run(op: Operation) -> None:
        asked.append(op)

    rotation = KekRotation(run, lambda: due, FakeWorld(), lambda _code, _count: None)
    await rotation()
    assert asked == []
    due = True
    await rotation()
    assert [op.name for op in asked] == ["sys.rotate", "sys.rewrap"]
    assert {op.service for op in asked} == {"key-rotation"}
    assert all(op.credential is None for op in asked)


async def test_a_rotation_that_fails_is_an_alert() -> None:
    """And an error for whoever runs the job, which comes again."""
    alerts: list[tuple[AlertCode, int]] = []

    async def run(_op: Operation) -> None:
        raise UnavailableError("audit_unavailable", "full")

    rotation = KekRotation(run, lambda: True, FakeWorld(), lambda *alert: alerts.append(alert))
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await rotation()
    assert alerts == [(AlertCode.ROTATION_FAILED, 1)] * 2
