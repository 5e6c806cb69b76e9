"""The agent's backups: made on request and by the schedule, listed, validated and removed.

What decides is in the destinations: manifests that the vault has signed. Only failures are kept in
the database, since a backup that was not made leaves no manifest. Each destination has a chain of
its own, and one that fails does not stop the others. The work is done in threads; a run ends with
the vault, and what it had not finished is no backup.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias, TypeVar

import msgspec
import trio

from actors import World
from actors.world import uptime_ns
from protocols import json_text
from protocols.cron import next_time
from protocols.errors import locate
from protocols.instant import DAY, SECOND, rfc3339
from vault.audit.record import AuditEvent
from vault.backup.catalog import Catalog, Entry, read_catalog
from vault.backup.create import create_backup
from vault.backup.destinations.interface import TOO_MANY, Destination
from vault.backup.format import Manifest, require_id
from vault.backup.keys import VaultKeys, open_keyring
from vault.backup.recover import BackupSecret, read_backup_secrets
from vault.backup.removal import clean_up, remove_backup
from vault.backup.restore import (
    read_backup_header,
    verify_backup,
    verify_outside,
    without_secrets,
)
from vault.backup.retention import removable, useless
from vault.backup.runs import (
    MADE,
    MISSING,
    RESTORED,
    SERVICE,
    VALIDATED,
    RequestedBackups,
    Run,
    RunHistory,
    SecretWriter,
    missing_event,
    restored_page,
    run_event,
    run_id,
)
from vault.backup.schedule import (
    NO_FAILURES,
    Failures,
    attempt_time,
    is_late,
    is_test_missing,
    judge,
)
from vault.backup.threads import run_backup_work
from vault.backup.watched import WatchedDestination, ignore_progress
from vault.cluster.leases import BACKUP, Leases
from vault.crypto.backup_keys import Recipient
from vault.crypto.digest import sha256
from vault.errors import (
    AuthenticationError,
    ConflictError,
    InternalError,
    NotFoundError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.metrics import BackupCounts
from vault.model.backup import BackupReport
from vault.model.backup_runs import (
    BackupPage,
    CreateBackup,
    DestinationFault,
    DestinationState,
    ListBackups,
    ListRestored,
    RestoreAction,
    RestoredPage,
    RestoredSecret,
    RestoreSecrets,
    RunKind,
    RunOutcome,
    RunRequester,
    RunResult,
    RunState,
    ScheduleState,
    StoredBackup,
    StoredCertificate,
)
from vault.model.path import ResourcePath
from vault.model.records import SecretRow, SystemRow
from vault.store.bulk import Progress
from vault.store.sql import SqlBackend
from vault.store.store import Store
from vault.store.tables import SYSTEM
from vault.store.transaction import StoreTx

LEASE_CHECK: Final = 1.0
"""Seconds between two looks at whether the lease of a run still lasts, and its time."""
MAX_WRITE_SECONDS: Final = 4 * 3_600.0
"""For writing one backup to one destination. The database is read in one view meanwhile, which
keeps SQLite's log, or the old row versions of a server. At the measured pace of 1,000,000 secrets
in 108 s it would be enough for some 100 million."""
ENDING_SECONDS: Final = 2.0
"""For the record of a run that ends with the vault, and for giving its lease back."""
THREADS: Final = len(RunKind)
"""A run of each kind at once; each takes a core and, for a backup, a connection."""
READING_THREADS: Final = 2
"""For lists and removals, which do not wait for a run; and as many for the agent's own looks,
which do not wait for those who ask."""
FAILURES_ROW: Final = "backup-failures"

MISSING_SHOWN: Final = DAY
"""For how long a destination that has lost backups is shown as failed."""
SCHEDULE_TIMES: Final = 50
"""Times of the schedule that are looked at for the longest pause between two."""

T = TypeVar("T")
Work: TypeAlias = Callable[[Run], Awaitable[None]]
log: Final = logging.getLogger("freehold.backup")


@dataclass(frozen=True)
class BackupPlan:
    """What the configuration asks for. Durations in nanoseconds."""

    enabled: bool
    schedule: str
    full_interval: int
    keep_count: int
    keep_age: int
    recipients: tuple[Recipient, ...]
    destinations: Mapping[str, Destination]
    include_secrets: bool = True
    compress: bool = True
    restore_test: str = "30 3 * * *"


@dataclass(frozen=True)
class BackupParts:
    """What the manager works with.

    `root_key` is the one in force. `proven`: when the newest backup that was restored as a test was
    made, in Unix nanoseconds; None: nothing tests. `is_test_failed`: whether the last test failed.
    `on_made`: after each backup, with its destination and manifest. `certificate`: the newest one
    of a destination's backup. `node`: the id of this agent, of which the ids of its runs tell.
    """

    plan: BackupPlan
    backend: SqlBackend | None
    keys: VaultKeys
    store: Store
    leases: Leases
    world: World
    record: Callable[[AuditEvent], Awaitable[object]]
    node: str
    root_key: Callable[[], bytes]
    counts: BackupCounts = field(default_factory=BackupCounts)
    proven: Callable[[], int | None] = field(default=lambda: None)
    certificate: Callable[[str, str], StoredCertificate | None] = field(
        default=lambda _destination, _backup: None
    )
    is_test_failed: Callable[[], bool] = field(default=lambda: False)
    on_made: Callable[[str, Manifest], None] = field(default=lambda _destination, _manifest: None)


class BackupManager:
    """Serves the operations `backup.*`. `serve` must run while it does."""

    def __init__(self, parts: BackupParts) -> None:
        self._parts = parts
        self._plan = parts.plan
        self._world = parts.world
        self._runs = RunHistory()
        self._requested = RequestedBackups()
        self._current: dict[RunKind, Run] = {}
        self._catalogs: dict[str, Catalog] = {}
        self._faults: dict[str, DestinationFault] = {}
        self._failures: dict[str, Failures] = {}
        self._removed: set[tuple[str, str]] = set()  # by this process, at a destination
        self._missing: dict[str, _Missing] = {}
        self._opens: dict[tuple[str, str], bytes] = {}  # backups that open with a root key (hash)
        self._outdated: set[str] = set()  # destinations whose newest one opens with an older key
        self._orphans: dict[tuple[str, str], int] = {}  # since when they are seen
        self._since = parts.world.now()
        self._threads = trio.CapacityLimiter(THREADS)
        self._reading = trio.CapacityLimiter(READING_THREADS)
        self._own_reading = trio.CapacityLimiter(READING_THREADS)
        self._is_known = False
        self._is_serving = False
        self._is_removing = False
        self._begun, self._waiting = trio.open_memory_channel[tuple[Run, Work]](len(RunKind))

    # What is asked for.

    async def list_backups(self, asked: ListBackups) -> BackupPage:
        """A page of all backups, the newest first. Raises `ValidationError`, `NotFoundError`."""
        names = self._names((asked.destination,) if asked.destination else ())
        await self._refresh(names)
        found = [
            self._stored(name, entry)
            for name in names
            for entry in self._catalogs.get(name, Catalog()).entries.values()
        ]
        found.sort(key=_page_key, reverse=True)
        if asked.cursor:
            behind = _decode_cursor(asked.cursor)
            found = [each for each in found if _page_key(each) < behind]
        page, more = found[: asked.limit], len(found) > asked.limit
        return BackupPage(
            backups=tuple(page),
            faults=tuple(self._faults[name] for name in names if name in self._faults),
            cursor=_encode_cursor(page[-1]) if more else "",
        )

    async def read_backup(self, backup: str, destination: str) -> StoredBackup:
        """One backup. Raises `NotFoundError`, `UnavailableError`."""
        name, entry = await self._find(backup, destination)
        return self._stored(name, entry)

    async def start(self, wanted: CreateBackup, by: RunRequester) -> RunState:
        """Begin a backup.

        Raises `ConflictError` (`backup_running`), `NotFoundError`, and `RateLimitError` unless the
        schedule asks.
        """
        names = self._names(wanted.destinations)
        if not names:
            raise NotFoundError(
                "backup_destination_missing",
                "the agent has no destination for backups: configure backup.destinations",
            )
        if by.id != SERVICE:
            self._requested.require_room(uptime_ns(self._world))
        run = self._new_run(RunKind.BACKUP, by)
        try:
            await self._take_lease()
            self._spawn(run, partial(self._back_up_all, names=names, full=wanted.full))
        except BaseException:
            await self._give_back()
            del self._current[RunKind.BACKUP]
            raise
        return run.state

    async def start_validation(self, backup: str, destination: str, by: RunRequester) -> RunState:
        """Begin to read a backup and all that it builds on. Raises as `start`."""
        name, _ = await self._find(backup, destination)
        run = self._new_run(RunKind.VALIDATION, by)
        try:
            self._spawn(run, partial(self._validate, name=name, backup=backup))
        except BaseException:
            del self._current[RunKind.VALIDATION]
            raise
        return run.state

    async def start_restore(
        self, backup: str, asked: RestoreSecrets, writer: SecretWriter, by: RunRequester
    ) -> RunState:
        """Begin to put secrets of a backup back into the vault. Raises as `start`.

        Also `ValidationError` (`restore_names_required`, and for what is no name), and
        `ConflictError` (`backup_unverified`, `backup_for_recipients`, `backup_without_secrets`).
        """
        if not asked.names:
            raise ValidationError(
                "restore_names_required",
                "name the secrets or folders to put back. A whole backup is restored into an "
                "empty database, without an agent: `freehold backup restore`",
                field="names",
            )
        for name in asked.names:  # no name that is written is taken from a backup unchecked
            ResourcePath.parse_secret(name.removesuffix("/"))
        name, entry = await self._find(backup, asked.destination)
        if not entry.signed or entry.fault:
            raise ConflictError(
                "backup_unverified",
                f"{entry.fault}. Secrets are put back only from whole backups that this vault has "
                "signed: choose another one",
            )
        if entry.manifest is not None and entry.manifest.excluded:
            raise without_secrets(backup)
        keys = await self._read(name, partial(self._restore_keys, backup))
        run = self._new_run(RunKind.RESTORE, by)
        run.dry_run = asked.dry_run
        try:
            work = partial(
                self._restore, name=name, backup=backup, asked=asked, writer=writer, keys=keys
            )
            self._spawn(run, work)
        except BaseException:
            del self._current[RunKind.RESTORE]
            raise
        return run.state

    def _restore_keys(self, backup: str, source: Destination) -> VaultKeys:
        """Those that open the values of a backup of this vault; blocks."""
        header, keys = read_backup_header(source, backup), self._parts.keys
        if (header.org, header.vault) != (keys.keyring.org, keys.keyring.vault):
            raise ConflictError("backup_unverified", "its data is of another vault's backup")
        if not any(wrap.kind == "keyring" for wrap in header.keys):
            raise ConflictError(
                "backup_for_recipients",
                "the backup is for recipients, whose identities no agent has: use "
                "`freehold backup recover FOLDER ID NAME --identity FILE`",
            )
        try:
            return open_keyring(header, self._parts.root_key())
        except AuthenticationError:  # made before the root key was changed
            return keys

    def list_restored(self, run: str, asked: ListRestored, by: str) -> RestoredPage:
        """What a restore did with each secret. Raises `NotFoundError`, `AuthorizationError`."""
        return restored_page(self._runs.get(run, self._parts.node), asked, by)

    async def delete_backup(self, backup: str, destination: str) -> StoredBackup:
        """Remove one of the vault's own backups, which no other builds on.

        Raises `ConflictError` (`backup_needed`, `backup_running`, `backup_unverified`),
        `NotFoundError`, `UnavailableError`.
        """
        if self._current or self._is_removing:
            raise _running("a run or another removal goes on")
        self._is_removing = True
        try:
            await self._take_lease()
            return await self._delete_backup(backup, destination)
        finally:
            await self._give_back()
            self._is_removing = False

    async def _delete_backup(self, backup: str, destination: str) -> StoredBackup:
        name, entry = await self._find(backup, destination)
        if not entry.signed:
            raise ConflictError(
                "backup_unverified",
                f"{entry.fault}. An agent removes only backups that its own vault has signed: "
                "remove it at the destination",
            )
        if users := self._catalogs[name].users(backup):
            raise ConflictError(
                "backup_needed", f"{users[-1]} builds on it: delete that one before", by=users
            )
        self._removed.add((name, backup))
        await self._read(name, partial(remove_backup, backup=backup, keys=self._parts.keys))
        await self._refresh([name])
        return entry.stored(name)

    def list_runs(self) -> tuple[RunState, ...]:
        """The last runs, the newest first."""
        return self._runs.states()

    def read_run(self, run: str) -> RunState:
        """Raises `NotFoundError`."""
        return self._runs.get(run, self._parts.node).state

    def cancel_run(self, run: str) -> RunState:
        """End a run; it has ended when its outcome says so. Raises `NotFoundError`."""
        found = self._runs.get(run, self._parts.node)
        if not found.ended:
            found.fail("backup_cancelled", "the run was cancelled on request")
            found.scope.cancel()
        return found.state

    async def read_schedule(self) -> ScheduleState:
        """When backups are made, and how they do."""
        await self._refresh(list(self._plan.destinations))
        report, now = self.report(), self._world.now()
        states = tuple(self._destination_state(name, now) for name in self._plan.destinations)
        times = [state.next for state in states if state.next]
        return ScheduleState(
            enabled=self._plan.enabled,
            schedule=self._plan.schedule,
            full_interval=self._plan.full_interval,
            retention_count=self._plan.keep_count,
            retention_age=self._plan.keep_age,
            state=report.state,
            next=min(times, default=0),
            newest=report.newest,
            proven=report.proven,
            count=report.count,
            destinations=states,
        )

    # What is reported.

    def report(self) -> BackupReport:
        """How the backups do, by the last look at the destinations."""
        now, plan = self._world.now(), self._plan
        catalogs = [self._catalogs.get(name, Catalog()) for name in plan.destinations]
        newest = [_created(catalog.newest(now)) for catalog in catalogs]
        proven = self._parts.proven()
        state = judge(
            enabled=plan.enabled,
            failed=any(
                self._failures_of(name).count or self._missing_at(name, now)
                for name in plan.destinations
            ),
            late=self.is_late(),
            proven=proven,
            newest_full=self._newest_full(),
        )
        count = sum(len(catalog.verified) for catalog in catalogs)
        return BackupReport(state, max(newest, default=0), proven or 0, count)

    def _newest_to_test(self, catalog: Catalog, now: int) -> int:
        """When the newest full backup was made whose restore test is missing unless it has one.

        After a test that failed it is the newest of all: it need not be waited for.
        """
        cron, is_failed = self._plan.restore_test, self._parts.is_test_failed()
        times = [entry.created for entry in catalog.verified if entry.is_full]
        return max(
            (
                made
                for made in times
                if made <= now and (is_failed or is_test_missing(cron, made, now))
            ),
            default=0,
        )

    def known_report(self) -> BackupReport | None:
        """As `report`; None until the destinations were looked at."""
        return self.report() if self._is_known else None

    def is_late(self) -> bool:
        """Whether a scheduled backup is missing at a destination, by the last look at them."""
        now, plan = self._world.now(), self._plan
        if not plan.enabled:
            return False
        newest = (
            _created(self._catalogs.get(name, Catalog()).newest(now)) for name in plan.destinations
        )
        return any(is_late(plan.schedule, one, since=self._since, now=now) for one in newest)

    def is_unproven(self) -> bool:
        """Whether no restore of the newest full backup has been tested, by the last look."""
        proven = self._parts.proven()
        return bool(self._plan.enabled and proven is not None and proven < self._newest_full())

    def _newest_full(self) -> int:
        """As `_newest_to_test`, of all destinations."""
        now = self._world.now()
        catalogs = (self._catalogs.get(name, Catalog()) for name in self._plan.destinations)
        return max((self._newest_to_test(catalog, now) for catalog in catalogs), default=0)

    def period_seconds(self) -> int:
        """The longest time between two backups by the schedule; 0 without one."""
        if not self._plan.enabled:
            return 0
        times = [self._world.now()]
        for _ in range(SCHEDULE_TIMES):
            times.append(next_time(self._plan.schedule, times[-1]))
        return max(later - sooner for sooner, later in pairwise(times[1:])) // SECOND

    @property
    def has_destinations(self) -> bool:
        """Whether the agent can make backups."""
        return bool(self._plan.destinations)

    def age_seconds(self) -> float:
        """Of the newest backup, at the destination where it is oldest; 0 where there is none."""
        now = self._world.now()
        newest = [
            _created(self._catalogs.get(name, Catalog()).newest(now))
            for name in self._plan.destinations
        ]
        return max(((now - one) / SECOND for one in newest if one), default=0.0)

    def count_failing(self) -> int:
        """How many destinations have failed at the last run, or have lost backups lately."""
        now = self._world.now()
        return sum(
            self._failures_of(name).count > 0 or self._missing_at(name, now) is not None
            for name in self._plan.destinations
        )

    async def find_due(self) -> list[str]:
        """The destinations that are due for a scheduled backup, by a new look at them.

        A time that was missed is made up once.
        """
        if not self._plan.enabled:
            return []
        for name in self._plan.destinations:
            await self._check_root_key(name)
        if not self._due():
            return []
        await self._refresh(list(self._plan.destinations), own=True)
        return self._due()

    async def refresh(self) -> None:
        """Look at all destinations, for what is reported of them."""
        await self._refresh(list(self._plan.destinations), own=True)
        for name in self._plan.destinations:
            await self._check_root_key(name)
        self._is_known = True

    # Runs.

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Run what is begun, for the length of the block; behind it nothing half done is left."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._begin_runs)
            self._is_serving = True
            try:
                yield
            finally:
                self._is_serving = False
                nursery.cancel_scope.cancel()

    async def _begin_runs(self) -> None:
        async with trio.open_nursery() as nursery:
            async for run, work in self._waiting:
                nursery.start_soon(self._run, run, work)

    def _new_run(self, kind: RunKind, by: RunRequester) -> Run:
        if kind in self._current:
            raise _running(f"{kind} {self._current[kind].id} goes on")
        if self._is_removing:
            raise _running("a backup is being removed")
        if not self._is_serving:
            raise UnavailableError("sealed", "the vault is being sealed")
        if self._parts.backend is None:
            raise UnavailableError("backup_unavailable", "this kind of database has no backups")
        node = self._parts.node
        run = Run(
            run_id(self._world.new_request_id(), node), kind, by, self._world.now(), node=node
        )
        self._current[kind] = run
        return run

    def _spawn(self, run: Run, work: Work) -> None:
        """Have `serve` begin it: outside of the caller's task, its deadlines and its fences."""
        self._runs.add(run)
        self._begun.send_nowait((run, work))

    async def _run(self, run: Run, work: Work) -> None:
        begun, outcome = self._world.uptime(), RunOutcome.CANCELLED
        try:
            with run.scope:
                await work(run)
            if not run.scope.cancelled_caught:
                outcome = RunOutcome.FAILED if run.error_code else RunOutcome.SUCCEEDED
        finally:
            if outcome is RunOutcome.CANCELLED:
                run.fail("backup_cancelled", "the vault was sealed, or the agent stopped")
                await self._record_cancelled(run)
            if run.kind is RunKind.BACKUP:
                self._parts.counts.last_seconds = self._world.uptime() - begun
                if run.by.id != SERVICE and any(result.backup for result in run.results):
                    self._requested.add(uptime_ns(self._world))
                await self._give_back()
            # Told last, all at once: whoever sees the end may begin the next run.
            run.phase, run.outcome, run.ended = "Finished", outcome, self._world.now()
            del self._current[run.kind]

    async def _back_up_all(self, run: Run, *, names: list[str], full: bool) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_lease, run)
            nursery.start_soon(self._watch_time, run)
            for name in names:
                run.begin(name)
                try:
                    is_full = full or name in self._outdated
                    result = await self._back_up(run, name, full=is_full)
                    self._outdated.discard(name)
                except Exception as error:  # noqa: BLE001  # the other destinations go on
                    failure = _failure(run, error)
                    result = RunResult(
                        destination=name, error_code=failure.code, error=failure.message
                    )
                    await self._note_failure(name, failure)
                    run.fail(failure.code, f"{name}: {failure.message}")
                run.results.append(result)
                await self._record(run, MADE, result)
            nursery.cancel_scope.cancel()

    async def _back_up(self, run: Run, name: str, *, full: bool) -> RunResult:
        """One destination: its catalog, a backup, and what retention removes.

        Who fills a destination with objects must not prevent backups: where there are too many to
        look at, a full one is made, nothing is removed, and the destination is shown as failed.
        """
        crowded: VaultError | None = None
        try:
            catalog = await self._read_catalog(name, Catalog(), own=True)
        except ValidationError as error:
            if error.code != TOO_MANY:
                raise
            crowded, catalog = error, self._catalogs.get(name, Catalog())
            full = True
        now, backup = self._world.now(), self._world.new_request_id()
        base = None if full else catalog.base(now, self._plan.full_interval)
        backend = self._parts.backend
        if backend is None:
            raise UnavailableError("backup_unavailable", "this kind of database has no backups")
        destination = WatchedDestination(self._plan.destinations[name], run.count_bytes)

        def work(progress: Progress) -> Manifest:
            return create_backup(
                backend,
                destination,
                self._parts.keys,
                backup=backup,
                created=rfc3339(now),
                progress=progress,
                base=base,
                recipients=self._plan.recipients,
                include_secrets=self._plan.include_secrets,
                compress=self._plan.compress,
            )

        with run.limit_writing(self._world.uptime() + MAX_WRITE_SECONDS) as scope:
            made = await run_backup_work(self._world, self._threads, work, run.progress)
        if scope.cancelled_caught:
            raise UnavailableError(
                "backup_too_slow",
                f"the backup was not written within {MAX_WRITE_SECONDS / 3600:.0f} hours, and was "
                "given up, since the database keeps its log meanwhile: check the destination, the "
                "network and this machine",
            )
        run.made = RunResult(
            destination=name,
            backup=backup,
            kind="full" if made.base is None else "incremental",
            rows=made.records,
            bytes=made.size,
        )
        self._parts.counts.made += 1
        if crowded is not None:
            self._catalogs[name] = catalog.with_backup(made)
            await self._note_failure(name, crowded)
            self._parts.on_made(name, made)
            return run.made
        await self._note_success(name)
        removed = await self._apply_retention(run, name)
        self._parts.on_made(name, made)
        return msgspec.structs.replace(run.made, removed=removed)

    async def _apply_retention(self, run: Run, name: str) -> int:
        """Remove what nothing keeps; returns how many. What cannot be removed stays for now.

        Nothing is removed while the machine's clock is too far ahead to tell an age.
        """
        clock = self._world.clock
        if clock.is_suspended:
            return 0
        run.phase, now = "Applying retention", clock.now()
        try:
            known = self._catalogs.get(name, Catalog())
            catalog = await self._read_catalog(name, known, own=True)
            verified = [entry.kept for entry in catalog.verified]
            incomplete = [entry.kept for entry in catalog.incomplete]
            gone = useless(
                incomplete,
                newest=_created(catalog.newest(now)),
                age=self._plan.keep_age,
                now=now,
            )
            gone += removable(
                verified,
                count=self._plan.keep_count,
                age=self._plan.keep_age,
                now=now,
                held={each.base for each in incomplete if each not in gone},
            )
            self._removed.update((name, each.id) for each in gone)
            seen = self._note_orphans(name, catalog, now)
            work = partial(clean_up, gone=gone, orphans=seen, keys=self._parts.keys, now=now)
            removed = await self._read(name, work, own=True)
            if removed:
                await self._read_catalog(name, catalog, own=True)
        except VaultError as error:
            log.warning("retention at %s: %s", name, error.message)
            return 0
        return removed

    def _note_orphans(self, name: str, catalog: Catalog, now: int) -> dict[str, int]:
        """Data without a manifest, and since when it is seen."""
        seen = {backup: self._orphans.get((name, backup), now) for backup in catalog.orphans}
        kept = {key: time for key, time in self._orphans.items() if key[0] != name}
        self._orphans = kept | {(name, backup): time for backup, time in seen.items()}
        return seen

    async def _validate(self, run: Run, *, name: str, backup: str) -> None:
        run.begin(name)
        destination = WatchedDestination(self._plan.destinations[name], run.count_bytes)
        try:
            rows = await run_backup_work(
                self._world,
                self._threads,
                partial(_verify, destination, backup, self._parts.keys),
                run.progress,
            )
            result = RunResult(
                destination=name, backup=backup, rows=rows or 0, rows_verified=rows is not None
            )
        except Exception as error:  # noqa: BLE001  # it is reported as the run's
            failure = _failure(run, error)
            run.fail(failure.code, failure.message)
            result = RunResult(
                destination=name, backup=backup, error_code=failure.code, error=failure.message
            )
        run.results.append(result)
        await self._record(run, VALIDATED, result)

    async def _restore(
        self,
        run: Run,
        *,
        name: str,
        backup: str,
        asked: RestoreSecrets,
        writer: SecretWriter,
        keys: VaultKeys,
    ) -> None:
        """Read the backup in a thread, and write each secret from there, one after the other."""
        run.begin(name)
        destination = WatchedDestination(self._plan.destinations[name], run.count_bytes)
        missing = set[str]()

        async def put_back(found: BackupSecret) -> None:
            done = await writer.put_back(found.secret, found.value, found.problem)
            if done is not None:
                run.add_secret(done)

        def choose(head: SecretRow) -> bool:
            return trio.from_thread.run(writer.may_write, head)

        def work(progress: Progress) -> None:
            for found in read_backup_secrets(
                destination,
                backup,
                keys,
                asked.names,
                progress=progress,
                with_values=not asked.dry_run,
                choose=choose,
                missing=missing,
            ):
                trio.from_thread.run(put_back, found)

        result = RunResult(destination=name, backup=backup)
        try:
            await run_backup_work(self._world, self._threads, work, run.progress)
        except Exception as error:  # noqa: BLE001  # it is reported as the run's
            failure = _failure(run, error)
            run.fail(failure.code, failure.message)
            result = RunResult(
                destination=name, backup=backup, error_code=failure.code, error=failure.message
            )
        else:
            for each in sorted(missing):
                run.add_secret(
                    RestoredSecret(
                        name=each,
                        action=RestoreAction.MISSING,
                        note="the backup has nothing of this name that you may write",
                    )
                )
            if run.counts[RestoreAction.FAILED]:
                first = next(one for one in run.secrets.values() if one.error_code)
                run.fail(first.error_code, f"{first.name}: {first.note}")
        run.results.append(result)
        await self._record(run, RESTORED, result)

    async def _watch_lease(self, run: Run) -> None:
        """End the run if another agent has taken its lease: it may have begun another one."""
        while self._parts.leases.has(BACKUP):
            await self._world.sleep(LEASE_CHECK)
        run.fail("lease_lost", "the lease of this run was lost: the database did not answer")
        run.scope.cancel()

    async def _watch_time(self, run: Run) -> None:
        """End the writing at a destination that takes too long."""
        while True:
            await self._world.sleep(LEASE_CHECK)
            run.end_if_late(self._world.uptime())

    async def _take_lease(self) -> None:
        if not await self._parts.leases.take(BACKUP):
            raise _running("another agent makes a backup")

    async def _give_back(self) -> None:
        with trio.CancelScope(shield=True), trio.move_on_after(ENDING_SECONDS):
            try:
                await self._parts.leases.give_back(BACKUP)
            except VaultError as error:
                log.warning("the lease of the backup is not released, it expires: %s", error)

    # Records.

    async def _record(self, run: Run, operation: str, result: RunResult) -> None:
        """Put the end of the work at one destination on the audit log."""
        path = f"sys/backups/{result.backup}" if result.backup else "sys/backups"
        try:
            await self._parts.record(run_event(run, operation, path, result))
        except VaultError as error:
            run.fail(error.code, f"its end is not on the audit log: {error.message}")

    async def _record_cancelled(self, run: Run) -> None:
        """As `_record`, of a run that was cancelled: by a caller, or since the vault closes.

        A backup that was made before is one; only its retention was cut short.
        """
        operation = _RECORDS[run.kind]
        result = run.made or RunResult(
            destination=run.destination, error_code=run.error_code, error=run.error
        )
        run.results.append(result)
        is_failed = run.scope.cancel_called and not run.made and run.kind is RunKind.BACKUP
        with trio.CancelScope(shield=True), trio.move_on_after(ENDING_SECONDS):
            if is_failed and run.destination:
                await self._note_failure(run.destination, ConflictError(run.error_code, run.error))
            await self._record(run, operation, result)

    async def _note_failure(self, name: str, error: VaultError) -> None:
        self._parts.counts.failed += 1
        before = self._failures_of(name)
        log.warning("backup at %s: %s", name, error.message)
        self._failures[name] = Failures(
            before.count + 1, self._world.now(), error.code, error.message
        )
        await self._store_failures()

    async def _note_success(self, name: str) -> None:
        if self._failures.pop(name, None) is not None:
            await self._store_failures()

    async def _store_failures(self) -> None:
        """Keep them for the next start, and for other agents; a run does not fail by it."""
        value = msgspec.json.encode(self._failures)

        def change(tx: StoreTx) -> None:
            tx.put(SYSTEM, SystemRow(name=FAILURES_ROW, value=value))

        try:
            await self._parts.store.commit(change)
        except VaultError as error:
            log.warning("failed backups are forgotten at the next start: %s", error.message)

    async def _load_failures(self) -> None:
        if RunKind.BACKUP in self._current:
            return  # what this run finds is newer
        with suppress(VaultError, msgspec.MsgspecError, ValueError):
            row = await self._parts.store.get(SYSTEM, FAILURES_ROW)
            found = {} if row is None else json_text.decode(row.value, type=dict[str, Failures])
            self._failures = {
                name: one for name, one in found.items() if name in self._plan.destinations
            }

    # Destinations.

    def _names(self, asked: Collection[str]) -> list[str]:
        known = list(self._plan.destinations)
        for name in asked:
            if name not in known:
                raise NotFoundError(
                    "backup_destination_missing",
                    f"there is no such destination: the agent has {', '.join(known) or 'none'}",
                )
        return [name for name in known if not asked or name in asked]

    async def _find(self, backup: str, destination: str) -> tuple[str, Entry]:
        require_id(backup)
        names = self._names((destination,) if destination else ())
        await self._refresh(names)
        for name in names:
            entry = self._catalogs.get(name, Catalog()).entries.get(backup)
            if entry is not None:
                return name, entry
        for fault in (self._faults[name] for name in names if name in self._faults):
            raise UnavailableError(fault.code, f"{fault.destination}: {fault.message}")
        raise NotFoundError("backup_missing", "there is no such backup: see `freehold backup list`")

    async def _refresh(self, names: Collection[str], *, own: bool = False) -> None:
        """Look at the destinations again, all at once; `_faults` has what failed.

        `own`: nobody has asked for it.
        """
        await self._load_failures()
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(partial(self._refresh_one, name, own=own))

    async def _refresh_one(self, name: str, *, own: bool) -> None:
        with suppress(VaultError):
            await self._read_catalog(name, self._catalogs.get(name, Catalog()), own=own)

    async def _read_catalog(self, name: str, known: Catalog, *, own: bool) -> Catalog:
        work = partial(read_catalog, keys=self._parts.keys, known=known)
        try:
            found = await self._read(name, work, own=own)
        except VaultError as error:
            self._faults[name] = DestinationFault(name, error.code, error.message)
            raise
        self._faults.pop(name, None)
        before, self._catalogs[name] = self._catalogs.get(name, Catalog()), found
        await self._note_missing(name, before, found)
        return found

    async def _note_missing(self, name: str, before: Catalog, found: Catalog) -> None:
        """Raise an alert for verified backups that are gone, or are no longer verified.

        What this process has removed, and what the retention of another agent may have removed, is
        not missing.
        """
        now, there = self._world.now(), {entry.id for entry in found.verified}
        gone = {entry.id for entry in before.verified if entry.id not in there}
        gone -= {backup for place, backup in self._removed if place == name}
        self._removed -= {(name, backup) for backup in before.entries if backup not in there}
        if gone:
            kept = [entry.kept for entry in before.verified]
            plan = self._plan
            expired = removable(kept, count=plan.keep_count, age=plan.keep_age, now=now)
            gone -= {each.id for each in expired}
        if not gone:
            return
        missing = _Missing(now, len(gone), max(gone))
        self._missing[name] = missing
        log.warning("backups at %s: %s", name, missing.message)
        try:
            await self._parts.record(missing_event(self._world.new_request_id(), name, missing))
        except VaultError as error:
            log.warning("the missing backups are not on the audit log: %s", error.message)

    def _missing_at(self, name: str, now: int) -> "_Missing | None":
        """What is missing since less than a day."""
        found = self._missing.get(name)
        return found if found is not None and now - found.since < MISSING_SHOWN else None

    async def _check_root_key(self, name: str) -> None:
        """Find out whether the newest backup opens with the root key in force.

        After a rekey it does not, and a backup is due at once: who has the new key alone could
        restore nothing.
        """
        newest = self._catalogs.get(name, Catalog()).newest(self._world.now())
        if newest is None:
            self._outdated.discard(name)
            return
        root_key = self._parts.root_key()
        place, fingerprint = (name, newest.id), sha256(root_key)
        if self._opens.get(place) != fingerprint:
            try:
                header = await self._read(
                    name, partial(read_backup_header, backup=newest.id), own=True
                )
                open_keyring(header, root_key)
            except AuthenticationError:
                self._outdated.add(name)
                return
            except VaultError as error:
                log.info("the newest backup at %s cannot be looked at: %s", name, error.message)
                return
            self._opens = {key: one for key, one in self._opens.items() if key[0] != name}
            self._opens[place] = fingerprint
        self._outdated.discard(name)

    async def _read(self, name: str, work: Callable[[Destination], T], *, own: bool = False) -> T:
        """What `work` makes of a destination, in a thread."""
        destination = WatchedDestination(self._plan.destinations[name], lambda _: None)
        limiter = self._own_reading if own else self._reading
        return await run_backup_work(
            self._world, limiter, lambda _progress: work(destination), ignore_progress
        )

    def _stored(self, name: str, entry: Entry) -> StoredBackup:
        """As it is shown; a certificate is the vault's own, so it is of a backup of the vault."""
        stored = entry.stored(name)
        if not entry.signed:
            return stored
        return msgspec.structs.replace(stored, certificate=self._parts.certificate(name, entry.id))

    def _failures_of(self, name: str) -> Failures:
        return self._failures.get(name, NO_FAILURES)

    def _due(self) -> list[str]:
        if RunKind.BACKUP in self._current:
            return []
        now = self._world.now()
        return [name for name in self._plan.destinations if self._attempt(name, now) <= now]

    def _attempt(self, name: str, now: int) -> int:
        newest = _created(self._catalogs.get(name, Catalog()).newest(now))
        if name in self._outdated:
            newest = 0
        return attempt_time(
            self._plan.schedule, newest, self._failures_of(name), since=self._since, now=now
        )

    def _destination_state(self, name: str, now: int) -> DestinationState:
        catalog, failures = self._catalogs.get(name, Catalog()), self._failures_of(name)
        fault = self._faults.get(name) or self._missing_at(name, now)
        newest = _created(catalog.newest(now))
        return DestinationState(
            name=name,
            location=self._plan.destinations[name].location,
            newest=newest,
            newest_full=_created(catalog.newest(now, full=True)),
            count=len(catalog.verified),
            next=self._attempt(name, now) if self._plan.enabled else 0,
            failures=failures.count,
            failed=failures.last,
            error_code=fault.code if fault is not None else failures.code,
            error=fault.message if fault is not None else failures.message,
        )


class _Missing(NamedTuple):
    """Backups that somebody else has removed or changed. `since`: Unix nanoseconds."""

    since: int
    number: int
    last: str
    code: str = MISSING

    @property
    def message(self) -> str:
        """For a person."""
        return (
            f"{self.number} verified backups are gone or were changed, {self.last} among them, and "
            "the agent has not removed them: see who can write there, and keep what is left"
        )


def _verify(source: Destination, backup: str, keys: VaultKeys, progress: Progress) -> int | None:
    """The number of rows that were verified; None: the backup is for recipients."""
    header = read_backup_header(source, backup)
    if any(wrap.kind == "keyring" for wrap in header.keys):
        return verify_backup(source, backup, keys, progress=progress).rows
    with progress("Verifying chunks", None):
        verify_outside(source, backup, keys)
    return None


_RECORDS: Final = {
    RunKind.BACKUP: MADE, RunKind.VALIDATION: VALIDATED, RunKind.RESTORE: RESTORED,
}  # fmt: skip


def _running(what: str) -> ConflictError:
    return ConflictError(
        "backup_running",
        f"{what}: wait for its end, or cancel it (`freehold backup status`)",
    )


def _failure(run: Run, error: Exception) -> VaultError:
    if isinstance(error, VaultError):
        return error
    log.error("backup run %s failed with %s", run.id, locate(error))
    return InternalError("internal", f"internal error; the agent's log has it under run {run.id}")


def _created(entry: Entry | None) -> int:
    return 0 if entry is None else entry.created


def _page_key(backup: StoredBackup) -> tuple[int, str, str]:
    return backup.created, backup.id, backup.destination


def _encode_cursor(last: StoredBackup) -> str:
    return f"{last.created}.{last.id}.{last.destination}"


def _decode_cursor(cursor: str) -> tuple[int, str, str]:
    created, _, rest = cursor.partition(".")
    backup, _, destination = rest.partition(".")
    if not (created.isascii() and created.isdigit() and len(created) < 20):  # noqa: PLR2004
        raise ValidationError("cursor_invalid", "is not the cursor of a page", field="cursor")
    return int(created), backup, destination
