"""Alerts of secrets that expire: once for each version, its end, and each window; and that have.

The mark and the alert are one transaction of the link's database: a restart repeats nothing, and a
crash loses nothing. A window that was missed is passed over for the shorter one. What has expired
is told in the order of the ends, so that one mark says how far it is told.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from actors import World
from protocols.errors import locate
from protocols.instant import MAX_NS
from protocols.link.vocabulary import AlertCode, Severity
from vault import operations
from vault.control_link import message_factory
from vault.control_link.database import LinkDatabase, LinkTx
from vault.control_link.outbox import SqlOutbox
from vault.control_link.usage_reporter import SERVICE, LookSchedule, SharingLevel, UsageSource
from vault.errors import VaultError
from vault.model.operation import Operation, service_operation
from vault.model.usage import ExpiringReport, ExpiringSecret, FindExpiring

log: Final = logging.getLogger("freehold.uplink")
FIRST_SCAN_WITHIN: Final = 60.0
"""Seconds after the start within which the first look is, so that a fleet does not look at once."""
_NOBODY: Final = bytes(16)


@dataclass(frozen=True)
class ExpiryWarningConfig:
    """What the owner chose. `windows`: nanoseconds before the end; none: nothing is told."""

    windows: tuple[int, ...]
    interval: float
    """Seconds between two looks."""
    share: SharingLevel


class ExpiryAlerts:
    """Looks and tells. Belongs to one task."""

    def __init__(
        self,
        source: UsageSource,
        chosen: ExpiryWarningConfig,
        world: World,
        is_reporter: Callable[[], bool] = lambda: True,
    ) -> None:
        """`is_reporter`: as `vault.control_link.ports.LinkPorts.is_reporter`."""
        self._source = source
        self._is_reporter = is_reporter
        self._windows = sorted(chosen.windows)
        self._interval = chosen.interval
        self._share = chosen.share
        self._world = world
        self._schedule = LookSchedule(source, world)
        self._next_news = 0  # when time alone makes news of what was found last
        self.expiring_count: int | None = None
        """How many secrets were within the longest window at the last look; None before it."""

    async def scan(self, database: LinkDatabase, outbox: SqlOutbox) -> int:
        """Look once, and owe the control plane what is news; how many secrets those are.

        Nothing while the vault is sealed, its store is away or another agent reports: the next look
        has all of it.
        """
        if not self._source.is_open_now() or not self._is_reporter():
            return 0
        self._schedule.begin_look()
        try:
            ended = await database.transact(self._ended)
            found = await self._source.run(self._operation(ended))
        except VaultError as error:
            self._schedule.fail_look()
            log.warning("secrets that expire could not be looked for: %s", locate(error))
            return 0
        self.expiring_count = found.total
        now = self._world.now()
        self._next_news = self._time_of_news(found, now)
        soon, over = await database.transact(lambda tx: self._tell(tx, outbox, found, now))
        if soon:
            log.warning("secrets that expire soon: %d; the control plane is told", soon)
        if over:
            log.warning("secrets that have expired: %d; the control plane is told", over)
        return soon + over

    async def wait_next_scan(self, *, first: bool = False) -> None:
        """Until the next look: an interval, and longer while there can be nothing new."""
        if first:
            await self._world.sleep(min(FIRST_SCAN_WITHIN, self._interval) * self._world.jitter())
            return
        await self._world.sleep(self._interval)
        while not self._schedule.is_due() and self._world.now() < self._next_news:
            await self._world.sleep(self._interval)

    def _time_of_news(self, found: ExpiringReport, now: int) -> int:
        """When the next of these secrets ends or comes into a shorter window."""
        ahead = (one.expires_at - window for one in found.secrets for window in (0, *self._windows))
        return min((at for at in ahead if at > now), default=MAX_NS)

    @property
    def is_enabled(self) -> bool:
        """Whether anything is to be looked for."""
        return bool(self._windows)

    def _tell(
        self, tx: LinkTx, outbox: SqlOutbox, found: ExpiringReport, now: int
    ) -> tuple[int, int]:
        """Owe an alert of all that is news: how many expire soon, and how many have."""
        soon = [one for one in found.secrets if self._marked(tx, one, now)]
        tx.execute("DELETE FROM expiring WHERE expires_at <= ?", [now])
        self._owe(tx, outbox, AlertCode.SECRET_EXPIRING, soon, now)
        self._owe(tx, outbox, AlertCode.SECRET_EXPIRED, found.ended, now)
        if found.ended:
            self._set_ended(tx, found.ended[-1].expires_at, found.ended[-1].opaque)
        return len(soon), len(found.ended)

    def _owe(
        self,
        tx: LinkTx,
        outbox: SqlOutbox,
        code: AlertCode,
        news: Sequence[ExpiringSecret],
        now: int,
    ) -> None:
        """By opaque id, or, where those may not leave, one alert that names nobody."""
        told = [(one.opaque, 1) for one in news]
        if news and self._share is not SharingLevel.OPAQUE:
            told = [(_NOBODY, len(news) if self._share is SharingLevel.AGGREGATES else 1)]
        for subject, count in told:
            id_ = self._world.new_id()
            made = message_factory.alert(code, Severity.WARNING, id_, now, subject)
            outbox.append_in(tx, replace(made, count=count))

    def _ended(self, tx: LinkTx) -> tuple[int, bytes]:
        """How far what has expired is told: at first, what has since the longest window began.

        A mark in the future is a clock's that was set back meanwhile.
        """
        now = self._world.now()
        row = tx.execute("SELECT expires_at, secret FROM ended").fetchone()
        if row is None:
            return max(now - self._windows[-1], 0), b""
        if row[0] > now:
            self._set_ended(tx, now, b"")
            return now, b""
        return row[0], row[1]

    def _set_ended(self, tx: LinkTx, end: int, opaque: bytes) -> None:
        tx.execute("INSERT OR REPLACE INTO ended VALUES (1, ?, ?)", [end, opaque])

    def _marked(self, tx: LinkTx, one: ExpiringSecret, now: int) -> bool:
        """Mark the shortest window that it is in; whether that is news."""
        window = next((w for w in self._windows if one.expires_at - now <= w), None)
        if window is None:
            return False
        known = tx.execute(
            "SELECT version, expires_at, window FROM expiring WHERE secret = ?", [one.opaque]
        ).fetchone()
        if known is not None and known[:2] == (one.version, one.expires_at) and known[2] <= window:
            return False
        row = [one.opaque, one.version, one.expires_at, window]
        tx.execute("INSERT OR REPLACE INTO expiring VALUES (?, ?, ?, ?)", row)
        return True

    def _operation(self, ended: tuple[int, bytes]) -> Operation[FindExpiring, ExpiringReport]:
        return service_operation(
            operations.FIND_EXPIRING,
            "sys/usage",
            FindExpiring(within=self._windows[-1], ended=ended),
            service=SERVICE,
            request_id=self._world.new_id(),
        )
