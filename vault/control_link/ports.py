"""The interface between the open data path and the control link."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from protocols.link.vocabulary import AlertCode
from vault.audit.feed import LogFollower
from vault.authz.ceiling import NO_CEILING
from vault.authz.policy import Policy
from vault.authz.policy_store import PolicyStore
from vault.model.backup import BackupReport, BackupState, RestoreProof
from vault.model.link import DISABLED, LinkStatus, SentPage, SentVerdict
from vault.model.link_ports import PolicyTrust, ReadKekState
from vault.model.records import AccessRow
from vault.model.rotation_report import RotationReport

MAX_TALLIED: Final = 100_000
"""Secrets, and credentials, that are counted between two reports; others are not counted."""


class UsageTally:
    """Reads by secret and uses by credential, as they are flushed.

    Outlives the sealing of the vault. Nothing of it is stored.
    """

    def __init__(self) -> None:
        self.reads: dict[str, int] = {}
        self.uses: dict[str, int] = {}

    def add_reads(self, rows: Iterable[AccessRow]) -> None:
        """Add reads of values, as they are flushed to the database."""
        for row in rows:
            if row.value_reads:
                _add(self.reads, row.secret_id, row.value_reads)

    def add_uses(self, uses: Mapping[str, tuple[int, int]]) -> None:
        """Add uses of credentials by id: how often, and when last."""
        for credential, (count, _) in uses.items():
            _add(self.uses, credential, count)

    def merge(self, reads: Mapping[str, int], uses: Mapping[str, int]) -> None:
        """Add what another process has counted."""
        for counts, more in ((self.reads, reads), (self.uses, uses)):
            for key, count in more.items():
                _add(counts, key, count)

    def clear(self) -> None:
        """Start again from zero."""
        self.reads, self.uses = {}, {}


def link_disabled() -> LinkStatus:
    """The status of an agent without a control plane."""
    return DISABLED


async def nothing_sent(_: int, __: int) -> SentPage:
    """The page of an agent without an egress ledger."""
    return SentPage((), 0)


async def nothing_to_verify() -> SentVerdict:
    """The verdict of an agent without an egress ledger."""
    return SentVerdict(entries=0, bytes=0, first=0, last=0, fault="")


@dataclass(frozen=True)
class BackupPorts:
    """What the link gets of the backups of an open vault. A sealed one keeps the last values."""

    report: Callable[[], BackupReport | None]
    """None until the destinations were looked at; never raises, and takes no time."""
    proof: Callable[[], RestoreProof] = RestoreProof
    period: Callable[[], int] = int
    """Seconds: the longest time between two backups by the schedule; 0 if not known."""
    run: Callable[[], Awaitable[None]] | None = None
    """Begin a backup by an ordinary operation, without waiting for its end: policies wait for this.

    None where the agent makes no backups. Raises `VaultError`.
    """


def _backups_off() -> BackupReport:
    """The report of an agent that makes no backups."""
    return BackupReport(BackupState.OFF, 0, 0, 0)


def _is_alone() -> bool:
    """Of an agent that shares its database with no other, or is sealed."""
    return True


@dataclass
class LinkPorts:
    """Functions that the link gives to the open data path, and those that it gets."""

    ceiling: Policy = NO_CEILING
    followers: tuple[LogFollower, ...] = ()
    trust: Callable[[], PolicyTrust | None] = field(default=lambda: None)
    """None while the agent is not enrolled."""
    link_status: Callable[[], LinkStatus] = link_disabled
    list_sent: Callable[[int, int], Awaitable[SentPage]] = nothing_sent
    """Egress ledger entries, newest first. Arguments: entries below this number (0: all), limit."""
    verify_sent: Callable[[], Awaitable[SentVerdict]] = nothing_to_verify
    on_bundle_dropped: Callable[[], None] = field(default=lambda: None)
    """Called when the owner has dropped the policy bundle; the control plane is notified."""
    on_open: Callable[[PolicyStore, ReadKekState], None] = field(
        default=lambda _policies, _keys: None
    )
    on_close: Callable[[], None] = field(default=lambda: None)
    """Drop what `on_open` got: it gives access to keys."""
    raise_alert: Callable[[AlertCode, int], None] = field(default=lambda _code, _count: None)
    """Report an alert and its count to the control plane; never waits."""
    is_reporter: Callable[[], bool] = field(default=_is_alone)
    """Whether this agent reports secrets that expire: one does for all agents of a database."""
    tally: UsageTally = field(default_factory=UsageTally)
    """Uses since the last report."""
    backups: Callable[[], BackupReport | None] = field(default=_backups_off)
    """Known once the vault was open, or None; the last report stays while it is sealed."""
    restore_proof: Callable[[], RestoreProof] = field(default=RestoreProof)
    backup_period: Callable[[], int] = field(default=int)
    run_backup: Callable[[], Awaitable[None]] | None = None
    """None where the agent makes no backups, and while the vault is sealed."""
    rotations: Callable[[], RotationReport | None] = field(default=lambda: None)
    """None unless this agent reports for the vault; the last one stays while it is sealed."""

    @contextmanager
    def connect(
        self,
        policies: PolicyStore,
        keys: ReadKekState,
        is_reporter: Callable[[], bool],
        backups: BackupPorts | None = None,
        rotations: Callable[[], RotationReport | None] = lambda: None,
    ) -> Iterator[None]:
        """Give these to the link for the length of the block: they give access to keys."""
        given = backups or BackupPorts(_backups_off)
        self.backups, self.restore_proof = given.report, given.proof
        self.backup_period, self.run_backup = given.period, given.run
        self.rotations = rotations
        self.is_reporter = is_reporter
        self.on_open(policies, keys)
        try:
            yield
        finally:
            self.on_close()
            self.is_reporter = _is_alone
            self._keep_reports()

    def _keep_reports(self) -> None:
        """A sealed vault still has its backups, and its rotations."""
        rotations = self.rotations()
        self.rotations = lambda: rotations
        report, proof, period = self.backups(), self.restore_proof(), self.backup_period()
        self.backups, self.restore_proof = lambda: report, lambda: proof
        self.backup_period, self.run_backup = lambda: period, None


def _add(counts: dict[str, int], key: str, count: int) -> None:
    if key in counts or len(counts) < MAX_TALLIED:
        counts[key] = counts.get(key, 0) + count
