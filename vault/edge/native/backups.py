"""`/api/v1/backups`: backups of the vault's data, the runs that make them, and the schedule."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from protocols.instant import SECOND, rfc3339, rfc3339_or_none
from vault import operations
from vault.edge.dialect import Dialect
from vault.edge.native.endpoint import Endpoints, system_folder, system_path
from vault.edge.request import Request
from vault.model.backup_runs import (
    CreateBackup,
    DestinationFault,
    DestinationState,
    ListBackups,
    ListRestored,
    RestoredSecret,
    RestoreSecrets,
    RunResult,
    RunState,
    ScheduleState,
    SelectBackup,
    StoredBackup,
    StoredCertificate,
)
from vault.model.path import MAX_BYTES, ResourcePath
from vault.model.payloads import MAX_PAGE_SIZE, Nothing

backups = Endpoints("backups", "Backups of the vault's data, and the runs that make them.")

MAX_DESTINATIONS = 8
MAX_SECRETS = 10_000
Name = Annotated[str, Meta(min_length=1, max_length=MAX_BYTES + 1)]
Destination = Annotated[str, Meta(max_length=63)]


class CertificateBody(Struct, frozen=True, kw_only=True):
    """A restore certificate that the vault has signed, and the object that it is kept in.

    `depth`: `rows` when the backup was restored and opened, `chunks` when signatures and chunks
    alone were verified; then there is no `rto_ms`.
    """

    name: str
    finished_at: str
    depth: Literal["rows", "chunks"]
    rto_ms: int | None
    rpo_ms: int
    rows: int
    sha256: str

    @classmethod
    def of(cls, found: StoredCertificate) -> "CertificateBody":
        """From the manager's."""
        fields: dict[str, Any] = msgspec.structs.asdict(found)
        finished = fields.pop("finished")
        return cls(**fields, finished_at=rfc3339(finished))


class BackupBody(Struct, frozen=True, kw_only=True):
    """A backup. `commits`: the state after this commit is in it.

    `verified`: the vault has signed it, and all that it builds on is there; else `fault` says why
    not, and the other fields may be anybody's. `certificate`: the newest one, if it was proven.
    """

    id: str
    destination: str
    created_at: str | None
    kind: str
    base: str
    commits: int
    rows: int
    bytes: int
    verified: bool
    fault: str
    certificate: CertificateBody | None

    @classmethod
    def of(cls, found: StoredBackup) -> "BackupBody":
        """From the manager's."""
        fields: dict[str, Any] = msgspec.structs.asdict(found)
        created, proof = fields.pop("created"), fields.pop("certificate")
        return cls(
            **fields,
            created_at=rfc3339_or_none(created),
            verified=not found.fault,
            certificate=None if proof is None else CertificateBody.of(proof),
        )


class BackupList(Struct, frozen=True):
    """Some backups, the newest first; an empty `cursor` marks the last page.

    `faults`: destinations that do not answer; their backups are not in it.
    """

    backups: list[BackupBody]
    faults: tuple[DestinationFault, ...]
    cursor: str


class BackupQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`destination`: of this one alone."""

    destination: Destination = ""
    cursor: Annotated[str, Meta(max_length=200)] = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_SIZE)] = 100


class DestinationQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the backup is, if several destinations have one of this id."""

    destination: Destination = ""


class NewBackup(Struct, frozen=True, forbid_unknown_fields=True):
    """`destinations`: at these; none: at all. `full`: all data, not what was changed since."""

    destinations: Annotated[list[Destination], Meta(max_length=MAX_DESTINATIONS)] = []
    full: bool = False


class RunBody(Struct, frozen=True, kw_only=True):
    """A run. `done` of `total` rows, about; `bytes` written or read at this destination so far.

    `node`: the agent whose run it is; others answer with `backup_run_elsewhere`. `secrets`: of a
    restore, how many by what was done with them. `results`: what it did at each destination.
    `error_code`: of its first failure.
    """

    id: str
    node: str
    kind: Literal["backup", "validation", "restore"]
    dry_run: bool
    secrets: dict[str, int]
    requested_by: str
    outcome: Literal["running", "succeeded", "failed", "cancelled"]
    phase: str
    destination: str
    done: int
    total: int | None
    bytes: int
    started_at: str
    ended_at: str | None
    error_code: str
    error: str
    results: tuple[RunResult, ...]

    @classmethod
    def of(cls, run: RunState) -> "RunBody":
        """From the manager's."""
        fields: dict[str, Any] = msgspec.structs.asdict(run)
        started, ended = fields.pop("started"), fields.pop("ended")
        return cls(**fields, started_at=rfc3339(started), ended_at=rfc3339_or_none(ended))


class RestoreBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Secrets to put back, by name; a name that ends with a slash is a folder.

    `dry_run`: say what would be written. `overwrite`: also where there is a value now.
    """

    names: Annotated[list[Name], Meta(max_length=MAX_SECRETS)]
    destination: Destination = ""
    dry_run: bool = False
    overwrite: bool = False


class RestoredList(Struct, frozen=True):
    """What a restore did with secrets, by name; an empty `cursor` marks the last page."""

    secrets: tuple[RestoredSecret, ...]
    cursor: str


class RestoredQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A page."""

    cursor: Annotated[str, Meta(max_length=MAX_BYTES + 1)] = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE_SIZE)] = 100


class RunList(Struct, frozen=True):
    """The last runs, the newest first."""

    runs: list[RunBody]


class DestinationBody(Struct, frozen=True, kw_only=True):
    """A destination. `failures`: in a row, the last one with this error; a time is null for never.

    `next_at`: when the next scheduled backup is tried there.
    """

    name: str
    location: str
    count: int
    newest_at: str | None
    newest_full_at: str | None
    next_at: str | None
    failures: int
    failed_at: str | None
    error_code: str
    error: str

    @classmethod
    def of(cls, found: DestinationState) -> "DestinationBody":
        """From the manager's."""
        fields: dict[str, Any] = msgspec.structs.asdict(found)
        dated = {
            f"{name}_at": rfc3339_or_none(fields.pop(name))
            for name in ("newest", "newest_full", "next", "failed")
        }
        return cls(**fields | dated)


class ScheduleBody(Struct, frozen=True, kw_only=True):
    """When backups are made, in cron's five fields in UTC, and how they do.

    `state`: off (no schedule), failed (the last run), late (more than an hour), unproven (no
    restore of the newest full one has been tested), good. `retention`: the newest so many and all
    that are younger are kept.
    """

    enabled: bool
    schedule: str
    full_interval_seconds: int
    retention_count: int
    retention_age_seconds: int
    state: Literal["off", "good", "late", "failed", "unproven"]
    next_at: str | None
    newest_at: str | None
    proven_at: str | None
    count: int
    destinations: list[DestinationBody]

    @classmethod
    def of(cls, found: ScheduleState) -> "ScheduleBody":
        """From the manager's."""
        fields: dict[str, Any] = msgspec.structs.asdict(found)
        dated = {
            f"{name}_at": rfc3339_or_none(fields.pop(name)) for name in ("next", "newest", "proven")
        }
        spans = {
            f"{name}_seconds": fields.pop(name) // SECOND
            for name in ("full_interval", "retention_age")
        }
        shown = [DestinationBody.of(each) for each in found.destinations]
        return cls(**fields | dated | spans | {"destinations": shown})


@backups.add(
    "GET", "backups", "List the backups, newest first", query=BackupQuery, returns=BackupList,
    errors=(404,),
)  # fmt: skip
async def list_(dialect: Dialect, request: Request, *, query: BackupQuery) -> BackupList:
    payload = ListBackups(destination=query.destination, cursor=query.cursor, limit=query.limit)
    page = await dialect.run_operation(
        request, operations.LIST_BACKUPS, system_folder("backups"), payload
    )
    return BackupList([BackupBody.of(each) for each in page.backups], page.faults, page.cursor)


@backups.add(
    "POST", "backups", "Begin a backup; look at its run for the result",
    body=NewBackup, returns=RunBody, status=202, errors=(404, 409),
)  # fmt: skip
async def create(dialect: Dialect, request: Request, *, body: NewBackup) -> RunBody:
    payload = CreateBackup(destinations=tuple(body.destinations), full=body.full)
    return RunBody.of(
        await dialect.run_operation(
            request, operations.CREATE_BACKUP, system_folder("backups"), payload
        )
    )


@backups.add(
    "GET", "backups/schedule", "When backups are made, and how they do", returns=ScheduleBody
)
async def schedule(dialect: Dialect, request: Request) -> ScheduleBody:
    return ScheduleBody.of(
        await dialect.run_operation(
            request, operations.READ_BACKUP_SCHEDULE, system_path("backup-schedule"), Nothing()
        )
    )


@backups.add("GET", "backups/runs", "The last runs, newest first", returns=RunList)
async def runs(dialect: Dialect, request: Request) -> RunList:
    found = await dialect.run_operation(
        request, operations.LIST_BACKUP_RUNS, system_folder("backup-runs"), Nothing()
    )
    return RunList([RunBody.of(run) for run in found])


@backups.add("GET", "backups/runs/{id}", "How far a run is", returns=RunBody)
async def run_(dialect: Dialect, request: Request, run: str) -> RunBody:
    path = system_path("backup-runs", run)
    return RunBody.of(
        await dialect.run_operation(request, operations.READ_BACKUP_RUN, path, Nothing())
    )


@backups.add(
    "GET", "backups/runs/{id}/secrets", "What a restore did with each secret, for its caller",
    query=RestoredQuery, returns=RestoredList,
)  # fmt: skip
async def restored(
    dialect: Dialect, request: Request, run: str, *, query: RestoredQuery
) -> RestoredList:
    path = system_path("backup-runs", run)
    payload = ListRestored(cursor=query.cursor, limit=query.limit)
    page = await dialect.run_operation(request, operations.LIST_RESTORED, path, payload)
    return RestoredList(page.secrets, page.cursor)


@backups.add("DELETE", "backups/runs/{id}", "Cancel a run", returns=RunBody)
async def cancel(dialect: Dialect, request: Request, run: str) -> RunBody:
    path = system_path("backup-runs", run)
    return RunBody.of(
        await dialect.run_operation(request, operations.CANCEL_BACKUP_RUN, path, Nothing())
    )


@backups.add(
    "GET", "backups/{id}", "What the manifest of a backup says", query=DestinationQuery,
    returns=BackupBody,
)  # fmt: skip
async def read(
    dialect: Dialect, request: Request, backup: str, *, query: DestinationQuery
) -> BackupBody:
    payload = SelectBackup(destination=query.destination)
    return BackupBody.of(
        await dialect.run_operation(request, operations.READ_BACKUP, _at(backup), payload)
    )


@backups.add(
    "DELETE", "backups/{id}", "Delete a backup that no other builds on", query=DestinationQuery,
    status=204, errors=(409,),
)  # fmt: skip
async def delete(
    dialect: Dialect, request: Request, backup: str, *, query: DestinationQuery
) -> None:
    payload = SelectBackup(destination=query.destination)
    await dialect.run_operation(request, operations.DELETE_BACKUP, _at(backup), payload)


@backups.add(
    "POST", "backups/{id}/validate",
    "Read a backup and all that it builds on, every byte and row; look at its run for the result",
    query=DestinationQuery, returns=RunBody, status=202, errors=(409,),
)  # fmt: skip
async def validate(
    dialect: Dialect, request: Request, backup: str, *, query: DestinationQuery
) -> RunBody:
    payload = SelectBackup(destination=query.destination)
    return RunBody.of(
        await dialect.run_operation(request, operations.VALIDATE_BACKUP, _at(backup), payload)
    )


@backups.add(
    "POST", "backups/{id}/restore",
    "Put secrets of a backup back, each as a new version; look at its run for the result",
    body=RestoreBody, returns=RunBody, status=202, errors=(404, 409),
)  # fmt: skip
async def restore(dialect: Dialect, request: Request, backup: str, *, body: RestoreBody) -> RunBody:
    payload = RestoreSecrets(
        destination=body.destination,
        names=tuple(body.names),
        dry_run=body.dry_run,
        overwrite=body.overwrite,
    )
    return RunBody.of(
        await dialect.run_operation(request, operations.RESTORE_BACKUP, _at(backup), payload)
    )


def _at(backup: str) -> ResourcePath:
    return system_path("backups", backup)
