"""Runs: backups that are being made or validated, and the last ones that were."""

import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

import trio

from protocols.instant import DAY, HOUR, SECOND
from vault.audit.record import AuditEvent
from vault.errors import AuthorizationError, NotFoundError, RateLimitError
from vault.model.backup_runs import (
    ListRestored,
    RestoreAction,
    RestoredPage,
    RestoredSecret,
    RunKind,
    RunOutcome,
    RunRequester,
    RunResult,
    RunState,
)
from vault.model.records import SecretRow

MADE: Final = "backup.made"
VALIDATED: Final = "backup.validated"
RESTORED: Final = "backup.restored"
"""The operations of the audit records of a run's end, one for each destination."""
MISSING_OPERATION: Final = "backup.missing"
MISSING: Final = "backups_missing"
SERVICE: Final = "service:backup"
MAX_RUNS: Final = 100
"""Runs that are remembered, until the vault is sealed."""
MAX_DETAILED: Final = 4
"""The last restores, of which it is remembered what was done with each secret."""
MAX_HOURLY: Final = 12
"""Backups on request within an hour. Retention keeps whatever is younger than 30 days, so without a
bound whoever may begin one could fill a destination."""
MAX_DAILY: Final = 48
"""The same within a day: about 1,500 in those 30 days."""
_RUN: Final = re.compile(r"[0-9a-f-]{1,64}\.([0-9a-f-]{1,64})")


class SecretWriter(Protocol):
    """Documented at `vault.handlers.restored_secrets.CallerRestore`."""

    async def may_write(self, head: SecretRow, /) -> bool:
        """Whether the caller may write it."""
        ...

    async def put_back(
        self, head: SecretRow, value: bytes | None, problem: str, /
    ) -> RestoredSecret | None:
        """Write it, or say what would be written."""
        ...


def run_id(request_id: str, node: str) -> str:
    """The id of a run, by which other agents can tell whose it is."""
    return f"{request_id}.{node}"


@dataclass
class Run:
    """A run. Its numbers are set by the thread that does the work, and read by the event loop."""

    id: str
    kind: RunKind
    by: RunRequester
    started: int
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    phase: str = "Waiting"
    destination: str = ""
    done: int = 0
    total: int | None = None
    bytes: int = 0
    ended: int = 0
    outcome: RunOutcome = RunOutcome.RUNNING
    error_code: str = ""
    error: str = ""
    results: list[RunResult] = field(default_factory=list)
    node: str = ""
    dry_run: bool = False
    secrets: dict[str, RestoredSecret] = field(default_factory=dict)
    counts: Counter[RestoreAction] = field(default_factory=Counter)
    """Of the secrets, by what was done with them: kept where the secrets are not."""
    made: RunResult | None = None
    """The backup that is there already, of the destination that it works at."""
    _writing: trio.CancelScope | None = None
    _write_until: float = 0.0

    @contextmanager
    def limit_writing(self, until: float) -> Iterator[trio.CancelScope]:
        """Have `end_if_late` cancel the block once `World.uptime` is later than this."""
        self._write_until = until
        try:
            with trio.CancelScope() as self._writing:
                yield self._writing
        finally:
            self._writing = None

    def end_if_late(self, now: float) -> None:
        """`now`: of `World.uptime`."""
        if self._writing is not None and now > self._write_until:
            self._writing.cancel()

    @property
    def state(self) -> RunState:
        """As it is now."""
        return RunState(
            id=self.id,
            node=self.node,
            kind=self.kind,
            dry_run=self.dry_run,
            secrets={action.value: count for action, count in sorted(self.counts.items())},
            requested_by=self.by.name,
            phase=self.phase,
            destination=self.destination,
            done=self.done,
            total=self.total,
            bytes=self.bytes,
            started=self.started,
            ended=self.ended,
            outcome=self.outcome,
            error_code=self.error_code,
            error=self.error,
            results=tuple(self.results),
        )

    def begin(self, destination: str) -> None:
        """It goes on with this destination."""
        self.destination, self.phase = destination, "Reading manifests"
        self.done, self.total, self.bytes = 0, None, 0
        self.made = None

    def count_bytes(self, count: int) -> None:
        """So many more were written or read; called in the thread."""
        self.bytes += count

    @contextmanager
    def progress(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A `vault.store.bulk.Progress`; called in the thread."""
        self.phase, self.done, self.total = what, 0, total

        def advance(count: int) -> None:
            self.done += count

        yield advance

    def add_secret(self, secret: RestoredSecret) -> None:
        """Note what was done with one."""
        self.secrets[secret.name] = secret
        self.counts[secret.action] += 1

    def fail(self, code: str, message: str) -> None:
        """Remember the first failure."""
        if not self.error_code:
            self.error_code, self.error = code, message


class RequestedBackups:
    """When backups were made on request, since the vault was opened here. Times in ns of uptime.

    Those of the schedule do not count, nor what came to nothing: that leaves nothing behind.
    """

    def __init__(self) -> None:
        self._made = deque[int](maxlen=MAX_DAILY)

    def add(self, now: int) -> None:
        """One more."""
        self._made.append(now)

    def require_room(self, now: int) -> None:
        """Raise `RateLimitError` (`backup_too_often`) at the limit."""
        for most, span, words in (
            (MAX_DAILY, DAY, "a day"),
            (MAX_HOURLY, HOUR, "an hour"),
        ):
            wait = self._made[-most] + span - now if len(self._made) >= most else 0
            if wait > 0:
                raise RateLimitError(
                    "backup_too_often",
                    f"{most} backups were made on request within {words}, which is the limit: "
                    "wait, or have them made by the schedule (backup.schedule)",
                    retry_after=-(-wait // SECOND),
                )


class RunHistory:
    """The last runs, the newest first."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}

    def add(self, run: Run) -> None:
        """Add one; the oldest that has ended is forgotten where there are too many."""
        self._runs[run.id] = run
        if len(self._runs) > MAX_RUNS:
            oldest = next(one for one in self._runs.values() if one.ended)
            del self._runs[oldest.id]
        restores = [one for one in self._runs.values() if one.kind is RunKind.RESTORE]
        for old in restores[:-MAX_DETAILED]:
            old.secrets.clear()

    def states(self) -> tuple[RunState, ...]:
        """All of them, the newest first."""
        return tuple(run.state for run in reversed(self._runs.values()))

    def get(self, run: str, node: str) -> Run:
        """Raises `NotFoundError`: `backup_run_missing`, or `backup_run_elsewhere`.

        `node`: of this agent, which alone knows its runs.
        """
        found = self._runs.get(run)
        if found is None:
            other = _RUN.fullmatch(run)
            if other and other[1] != node:
                raise NotFoundError(
                    "backup_run_elsewhere",
                    f"the run is of the agent with the node id {other[1]}, which alone can say how "
                    "far it is: ask that one (`freehold node list`)",
                    node=other[1],
                )
            raise NotFoundError(
                "backup_run_missing",
                "there is no such run; an agent forgets runs when it is sealed or stopped. See "
                "`freehold backup status`",
            )
        return found


def restored_page(run: Run, asked: ListRestored, by: str) -> RestoredPage:
    """What a restore did with each secret, by name, for the caller that began it.

    Names of secrets that this one may write; others may not even list them.
    Raises `AuthorizationError` (`backup_run_of_other`).
    """
    if run.by.id != by:
        raise AuthorizationError(
            "backup_run_of_other", "only the caller that began this restore sees its secrets"
        )
    names = sorted(name for name in run.secrets if name > asked.cursor)
    page = names[: asked.limit]
    return RestoredPage(
        secrets=tuple(run.secrets[name] for name in page),
        cursor=page[-1] if len(names) > len(page) else "",
    )


class MissingBackups(Protocol):
    """What is missing at a destination."""

    @property
    def number(self) -> int:
        """How many."""

    @property
    def last(self) -> str:
        """The id of one."""


def missing_event(request_id: str, destination: str, missing: MissingBackups) -> AuditEvent:
    """The alert for backups that the agent has not removed and that are gone."""
    return AuditEvent(
        request_id=request_id,
        phase="outcome",
        operation=MISSING_OPERATION,
        path=f"sys/backups/{missing.last}",
        capability="",
        actor_id=SERVICE,
        actor_name=SERVICE,
        method="service",
        credential="",
        ip="",
        user_agent="",
        dialect="service",
        result="failed",
        code=MISSING,
        rule=f"at {destination}: {missing.number} verified backups are gone or were changed",
        alert=True,
    )


def run_event(run: Run, operation: str, path: str, result: RunResult) -> AuditEvent:
    """The audit record of the end of a run at one destination; `rule` has its counts."""
    if result.error_code:
        rule = f"at {result.destination}: {result.error_code}"
    elif operation == MADE:
        rule = (
            f"{result.kind} backup at {result.destination}: {result.rows} rows, {result.bytes} "
            f"bytes; {result.removed} older ones removed"
        )
    elif operation == RESTORED:
        counts = ", ".join(f"{action} {count}" for action, count in sorted(run.counts.items()))
        what = "dry run of a restore" if run.dry_run else "secrets restored"
        rule = f"{what} from {result.destination}: {counts or 'nothing'}"
    else:
        what = f"{result.rows} rows" if result.rows_verified else "signatures and chunks, not rows"
        rule = f"validated at {result.destination}: {what}"
    return AuditEvent(
        request_id=run.by.request_id,
        phase="outcome",
        operation=operation,
        path=path,
        capability="",
        actor_id=run.by.id,
        actor_name=run.by.name,
        method=run.by.method,
        credential=run.by.credential,
        ip="",
        user_agent="",
        dialect="service",
        result="failed" if result.error_code else "ok",
        code=result.error_code,
        rule=rule,
    )
