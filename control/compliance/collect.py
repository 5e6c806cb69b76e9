"""All evidence of an organization over a period, one subject after the other."""

from collections.abc import Awaitable, Callable
from typing import Final

from control.authn.sessions import Rules
from control.compliance.evidence import (
    agents,
    audit,
    keeping,
    open_alerts,
    people,
    policies,
    upkeep,
)
from control.compliance.evidence.common import Span
from control.model.compliance import Evidence
from control.model.retention import Limits
from control.services.trail import Trail
from control.services.witness import Witness
from control.store.store import Store

STEPS: Final = 6
Progress = Callable[[int], Awaitable[None]]
"""Told how many subjects are done."""


class Collector:
    """Reads; each subject sees one state of the database."""

    def __init__(
        self, store: Store, trail: Trail, witness: Witness, rules: Rules, limits: Limits
    ) -> None:
        self._limits = limits
        self._store = store
        self._trail = trail
        self._witness = witness
        self._rules = rules

    async def collect(self, span: Span, told: Progress) -> dict[str, Evidence]:
        """By id. Raises `UnavailableError`."""
        found: list[Evidence] = []
        verdict = await self._trail.verify(span.org)
        subjects = (
            lambda tx: people.collect(tx, span, self._rules),
            lambda tx: agents.collect(tx, span),
            lambda tx: policies.collect(tx, span),
            lambda tx: audit.collect(tx, span, verdict, self._witness),
            lambda tx: upkeep.collect(tx, span),
            lambda tx: keeping.collect(tx, span, self._limits),
        )
        for number, subject in enumerate(subjects, 1):
            found += await self._store.read(subject)
            await told(number)
        alerts = await self._store.read(lambda tx: open_alerts.open_alerts(tx, span))
        return {item.id: item for item in open_alerts.contradicted(found, alerts)}
