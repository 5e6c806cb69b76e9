"""vault.jobs.scheduled_backups: what is due is asked for as an ordinary operation."""

from typing import Any

import pytest

from actors.testing import FakeWorld
from vault.errors import ConflictError, UnavailableError, VaultError
from vault.jobs.scheduled_backups import ScheduledBackups
from vault.model.operation import Operation


class Pipeline:
    """Notes what it is asked for, and refuses it where it is told to."""

    def __init__(self, refusal: VaultError | None = None) -> None:
        self.asked: list[Operation[Any, Any]] = []
        self.refusal = refusal

    async def run(self, op: Operation[Any, Any]) -> Any:
        """One operation."""
        self.asked.append(op)
        if self.refusal is not None:
            raise self.refusal


def job(pipeline: Pipeline, *due: str) -> ScheduledBackups:
    """With these destinations due."""

    async def find_due() -> list[str]:
        return list(due)

    return ScheduledBackups(pipeline.run, find_due, FakeWorld())


async def test_what_is_due_is_asked_for_by_the_service() -> None:
    """Without a credential, and audited under its name."""
    pipeline = Pipeline()
    await job(pipeline, "one", "two")()
    (asked,) = pipeline.asked
    assert (asked.name, asked.service, asked.credential) == ("backup.create", "backup", None)
    assert asked.payload.destinations == ("one", "two")
    assert not asked.payload.full


async def test_nothing_is_asked_for_while_nothing_is_due() -> None:
    """No record is made."""
    pipeline = Pipeline()
    await job(pipeline)()
    assert pipeline.asked == []


async def test_another_backup_is_waited_for() -> None:
    """The next look tells what is still due; any other refusal is a failure of the job."""
    await job(Pipeline(ConflictError("backup_running", "another")), "one")()
    with pytest.raises(UnavailableError):
        await job(Pipeline(UnavailableError("audit_unavailable", "no")), "one")()
