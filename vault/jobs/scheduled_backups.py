"""Backups by the schedule: ordinary audited operations, asked for when a destination is due."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from actors import World
from vault import operations
from vault.errors import ConflictError
from vault.model.backup_runs import CreateBackup
from vault.model.operation import RunOperation, service_operation

BACKUP_SERVICE: Final = "backup"
CONTROL_SERVICE: Final = "control-plane"
BACKUP_CHECK_INTERVAL: Final = 30.0
"""Seconds between two looks at the schedule, whose times are minutes."""
BACKUP_REPORT_INTERVAL: Final = 300.0
"""Seconds between two looks of each agent at the destinations, for what it reports of them."""


@dataclass(frozen=True)
class ScheduledBackups:
    """Asks for `backup.create` whenever destinations are due."""

    run: RunOperation
    find_due: Callable[[], Awaitable[list[str]]]
    world: World

    async def __call__(self) -> None:
        """Begin a backup at those that are due. Raises what the operation raises."""
        due = await self.find_due()
        if not due:
            return
        try:
            await self.run(
                service_operation(
                    operations.CREATE_BACKUP,
                    "sys/backups",
                    CreateBackup(destinations=tuple(due)),
                    service=BACKUP_SERVICE,
                    request_id=self.world.new_id(),
                )
            )
        except ConflictError as error:
            if error.code != "backup_running":
                raise  # else another agent makes one; the next look tells what is still due


@dataclass(frozen=True)
class BackupOnCommand:
    """Asks for `backup.create` because the control plane has asked."""

    run: RunOperation
    world: World

    async def __call__(self) -> None:
        """Begin a backup at all destinations. Raises what the operation raises."""
        await self.run(
            service_operation(
                operations.CREATE_BACKUP,
                "sys/backups",
                CreateBackup(),
                service=CONTROL_SERVICE,
                request_id=self.world.new_id(),
            )
        )
