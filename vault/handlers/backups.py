"""Backups: listed, made, validated and removed; the runs that do it, and the schedule."""

from dataclasses import dataclass
from typing import Protocol

from vault import operations
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.restored_secrets import CallerRestore, SecretRestorer
from vault.model.backup_runs import (
    BackupPage,
    CreateBackup,
    ListBackups,
    ListRestored,
    RestoredPage,
    RestoreSecrets,
    RunRequester,
    RunState,
    ScheduleState,
    SelectBackup,
    StoredBackup,
)
from vault.model.operation import Capability
from vault.model.payloads import Nothing


class Backups(Protocol):
    """Documented at `vault.backup.manager.BackupManager`."""

    async def list_backups(self, asked: ListBackups, /) -> BackupPage:
        """A page of all backups, the newest first."""
        ...

    async def read_backup(self, backup: str, destination: str, /) -> StoredBackup:
        """One backup."""
        ...

    async def start(self, wanted: CreateBackup, by: RunRequester, /) -> RunState:
        """Begin a backup."""
        ...

    async def start_validation(
        self, backup: str, destination: str, by: RunRequester, /
    ) -> RunState:
        """Begin to read a backup."""
        ...

    async def start_restore(
        self, backup: str, asked: RestoreSecrets, writer: CallerRestore, by: RunRequester, /
    ) -> RunState:
        """Begin to put secrets back."""
        ...

    def list_restored(self, run: str, asked: ListRestored, by: str, /) -> RestoredPage:
        """What a restore did with each secret."""
        ...

    async def delete_backup(self, backup: str, destination: str, /) -> StoredBackup:
        """Remove a backup."""
        ...

    async def read_schedule(self) -> ScheduleState:
        """When backups are made, and how they do."""
        ...

    def list_runs(self) -> tuple[RunState, ...]:
        """The last runs."""
        ...

    def read_run(self, run: str, /) -> RunState:
        """One run."""
        ...

    def cancel_run(self, run: str, /) -> RunState:
        """End a run."""
        ...


@dataclass(frozen=True)
class BackupHandlers:
    """The handlers of `backup.*`."""

    backups: Backups
    restorer: SecretRestorer

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.LIST_BACKUPS,
                run=self.list,
                capability=Capability.LIST,
                audit_response=lambda page: {"count": len(page.backups)},
            ),
            Handler(
                operations.READ_BACKUP,
                run=self.read,
                capability=Capability.READ,
                audit_response=lambda found: {"destination": found.destination},
            ),
            Handler(
                operations.CREATE_BACKUP,
                run=self.create,
                capability=Capability.CREATE,
                mutates=True,
                audit_response=_run,
            ),
            Handler(
                operations.VALIDATE_BACKUP,
                run=self.validate,
                capability=Capability.UPDATE,
                mutates=True,
                audit_response=_run,
            ),
            Handler(
                operations.RESTORE_BACKUP,
                run=self.restore,
                capability=Capability.READ,
                mutates=True,
                audit_response=_run,
            ),
            Handler(
                operations.DELETE_BACKUP,
                run=self.delete,
                capability=Capability.SUDO,
                mutates=True,
                audit_response=lambda gone: {
                    "destination": gone.destination, "rows": gone.rows, "bytes": gone.bytes,
                },
            ),
            Handler(
                operations.READ_BACKUP_SCHEDULE,
                run=self.schedule,
                capability=Capability.READ,
                audit_response=lambda found: {"state": found.state, "count": found.count},
            ),
            Handler(
                operations.LIST_BACKUP_RUNS,
                run=self.list_runs,
                capability=Capability.LIST,
                audit_response=lambda runs: {"count": len(runs)},
            ),
            Handler(
                operations.READ_BACKUP_RUN,
                run=self.read_run,
                capability=Capability.READ,
                audit_response=_run,
            ),
            Handler(
                operations.LIST_RESTORED,
                run=self.list_restored,
                capability=Capability.READ,
                audit_response=lambda page: {"count": len(page.secrets)},
            ),
            Handler(
                operations.CANCEL_BACKUP_RUN,
                run=self.cancel_run,
                capability=Capability.DELETE,
                mutates=True,
                audit_response=_run,
            ),
        )  # fmt: skip

    async def list(self, call: Call[ListBackups]) -> BackupPage:
        """Backups of all destinations."""
        return await self.backups.list_backups(call.payload)

    async def read(self, call: Call[SelectBackup]) -> StoredBackup:
        """A backup."""
        return await self.backups.read_backup(call.name, call.payload.destination)

    async def create(self, call: Call[CreateBackup]) -> RunState:
        """Begin one; its end has a record of its own."""
        return await self.backups.start(call.payload, _requester(call))

    async def validate(self, call: Call[SelectBackup]) -> RunState:
        """Begin to read one; its end has a record of its own."""
        return await self.backups.start_validation(
            call.name, call.payload.destination, _requester(call)
        )

    async def restore(self, call: Call[RestoreSecrets]) -> RunState:
        """Begin to put secrets back; each is a write of its own, and the end has a record, too."""
        writer = self.restorer.for_caller(call)
        await writer.require_writable(call.payload.names)
        return await self.backups.start_restore(call.name, call.payload, writer, _requester(call))

    async def list_restored(self, call: Call[ListRestored]) -> RestoredPage:
        """What a restore did with each secret, for the caller that began it."""
        return self.backups.list_restored(call.name, call.payload, call.identity.id)

    async def delete(self, call: Call[SelectBackup]) -> StoredBackup:
        """Remove one."""
        return await self.backups.delete_backup(call.name, call.payload.destination)

    async def schedule(self, _: Call[Nothing]) -> ScheduleState:
        """When they are made, and how they do."""
        return await self.backups.read_schedule()

    async def list_runs(self, _: Call[Nothing]) -> tuple[RunState, ...]:
        """The last runs."""
        return self.backups.list_runs()

    async def read_run(self, call: Call[Nothing]) -> RunState:
        """How far a run is."""
        return self.backups.read_run(call.name)

    async def cancel_run(self, call: Call[Nothing]) -> RunState:
        """End a run."""
        return self.backups.cancel_run(call.name)


def _requester(
    call: Call[CreateBackup] | Call[SelectBackup] | Call[RestoreSecrets],
) -> RunRequester:
    by = call.identity
    return RunRequester(
        request_id=call.op.request_id,
        id=by.id,
        name=by.name,
        method=by.method,
        credential=by.credential,
    )


def _run(run: RunState) -> object:
    return {"run": run.id, "outcome": run.outcome}
