"""Alerts of the agent itself: raised by its parts, or by what the vault looks like now.

What is raised waits here, counted, until the outbox has it: to raise something waits for nothing.
"""

from collections import Counter
from collections.abc import Callable

import trio
from msgspec.structs import replace

from actors import World
from protocols.instant import MAX_NS
from protocols.link.limits import MAX_CONDITIONS
from protocols.link.messages import Conditions
from protocols.link.vocabulary import WARNINGS, AlertCode, Health, Severity
from vault.control_link import message_factory
from vault.control_link.database import LinkDatabase, LinkTx
from vault.control_link.host import LinkHost, VaultFacts
from vault.control_link.outbox import SqlOutbox


class AlertQueue:
    """Of one control link."""

    def __init__(
        self,
        host: LinkHost,
        outbox: SqlOutbox,
        world: World,
        on_raised: Callable[[], None],
        on_queued: Callable[[], None],
        *,
        is_certificate_expiring: Callable[[], bool] = bool,
    ) -> None:
        """`on_raised` is called for each alert, `on_queued` once alerts are in the outbox.

        `is_certificate_expiring`: whether the certificate is about to expire, and was not renewed.
        """
        self._expiring = is_certificate_expiring
        self._host = host
        self._outbox = outbox
        self._world = world
        self._raised = on_raised
        self._queued = on_queued
        self._waiting: Counter[tuple[AlertCode, Severity]] = Counter()
        self._flushing = trio.Lock()
        self._was_open: bool | None = None
        self._troubles: frozenset[AlertCode] = frozenset()
        self._reported_break_glass = (b"", False, 0)
        self._expired_told = 0
        """The version of the bundle whose end was told."""

    def raise_alert(self, code: AlertCode, severity: Severity, count: int = 1) -> None:
        """Somebody should look; `count`: how often it was."""
        self._waiting[code, severity] += count
        self._raised()

    async def flush_to_outbox(self) -> None:
        """Put what waits into the outbox, a message for each code that says how often."""
        async with self._flushing:
            while self._waiting:
                (code, severity), count = next(iter(self._waiting.items()))
                raised = message_factory.alert(
                    code, severity, self._world.new_id(), self._world.now()
                )
                await self._outbox.append(replace(raised, count=count))
                self._waiting[code, severity] -= count
                self._waiting += Counter()  # without those that are at 0
                self._queued()

    async def report_break_glass(self, database: LinkDatabase) -> None:
        """Owe the control plane an alert of each use of break-glass that it was not told of.

        What is on record, not the moment, decides, so a crash loses none; `database` is the
        outbox's, and the mark of what was told is set in the same transaction. While the vault is
        sealed nothing verifies the record: a use that was told then is told again when it is open.
        """
        is_open, facts = self._host.is_open, self._host.facts()
        vault, uses = facts.vault, min(facts.break_glass_uses, MAX_NS)
        if uses <= 0 or self._reported_break_glass == (vault, is_open, uses):
            return
        now, used_at = self._world.now(), facts.break_glass_used_at
        at = used_at if 0 < used_at < now else now
        alert = message_factory.alert(
            AlertCode.UNSEALED, Severity.CRITICAL, self._world.new_id(), at
        )  # as critical: see docs/spec/link.md

        def owe(tx: LinkTx) -> bool:
            told = _reported_uses(tx, vault, is_verified=is_open)
            if uses <= told:
                return False
            self._outbox.append_in(tx, replace(alert, count=uses - told if is_open else 1))
            tx.execute(
                "INSERT OR REPLACE INTO break_glass VALUES (?, ?, ?)", [vault, is_open, uses]
            )
            return True

        if await database.transact(owe):
            self._queued()
        self._reported_break_glass = (vault, is_open, uses)

    def raise_vault_alerts(self) -> None:
        """Raise what is seen rather than told: sealed, unsealed, trouble, a bundle that expired."""
        is_open, facts = self._host.is_open, self._host.facts()
        if self._was_open not in (None, is_open):
            if is_open:
                self.raise_alert(AlertCode.UNSEALED, Severity.INFO)
            else:
                self.raise_alert(AlertCode.SEALED, Severity.CRITICAL)
        self._was_open = is_open
        for code in sorted(facts.troubles - self._troubles):
            severity = Severity.WARNING if code in WARNINGS else Severity.CRITICAL
            self.raise_alert(code, severity)
        self._troubles = facts.troubles
        if self._has_expired(facts) and self._expired_told != facts.policy.version:
            self._expired_told = facts.policy.version
            self.raise_alert(AlertCode.POLICY_EXPIRED, Severity.WARNING)

    def conditions(self) -> Conditions:
        """All that is wrong now, so that the control plane knows what is over."""
        facts = self._host.facts()
        codes = set(facts.troubles)
        if facts.health is Health.SEALED:
            codes.add(AlertCode.SEALED)
        if self._has_expired(facts):
            codes.add(AlertCode.POLICY_EXPIRED)
        if self._expiring():
            codes.add(AlertCode.CERTIFICATE_EXPIRING)
        return Conditions(codes=tuple(sorted(codes)[:MAX_CONDITIONS]))

    def _has_expired(self, facts: VaultFacts) -> bool:
        return 0 < facts.policy_expires <= self._world.now() // message_factory.MILLI


def _reported_uses(tx: LinkTx, vault: bytes, *, is_verified: bool) -> int:
    """How many uses were reported. Those of an open vault count for the sealed one, too."""
    row = tx.execute(
        "SELECT max(uses) FROM break_glass WHERE vault = ? AND is_verified >= ?",
        [vault, is_verified],
    ).fetchone()
    return row[0] or 0
