"""Collects all evidence of an organization over a period."""

from collections.abc import Awaitable, Callable
from typing import Final

from control.authn.sessions import SessionLimits
from control.compliance.evidence import (
    agents,
    audit,
    maintenance,
    open_alerts,
    people,
    policies,
    retention,
)
from control.compliance.evidence.assessment import Period
from control.model.compliance import Evidence
from control.model.retention import RetentionLimits
from control.services.audit_log import AuditLog
from control.services.witness import Witness
from control.store.store import Store

STEP_COUNT: Final = 6
ProgressHandler = Callable[[int], Awaitable[None]]
"""Told how many subjects are done."""


class Collector:
    """Reads the evidence; each subject sees one state of the database."""

    def __init__(
        self,
        store: Store,
        trail: AuditLog,
        witness: Witness,
        rules: SessionLimits,
        limits: RetentionLimits,
    ) -> None:
        self._limits = limits
        self._store = store
        self._trail = trail
        self._witness = witness
        self._rules = rules

    async def collect_evidence(
        self, period: Period, on_progress: ProgressHandler
    ) -> dict[str, Evidence]:
        """By id. Raises `UnavailableError`."""
        found: list[Evidence] = []
        verdict = await self._trail.verify_chain(period.org)
        subjects = (
            lambda tx: people.collect_people(tx, period, self._rules),
            lambda tx: agents.collect_agents(tx, period),
            lambda tx: policies.collect_policies(tx, period),
            lambda tx: audit.collect_audit(tx, period, verdict, self._witness),
            lambda tx: maintenance.collect_maintenance(tx, period),
            lambda tx: retention.collect_retention(tx, period, self._limits),
        )
        for number, subject in enumerate(subjects, 1):
            found += await self._store.read(subject)
            await on_progress(number)
        alerts = await self._store.read(lambda tx: open_alerts.open_alerts(tx, period))
        return {item.id: item for item in open_alerts.apply_open_alerts(found, alerts)}
