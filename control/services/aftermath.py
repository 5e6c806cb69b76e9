"""What follows once the CA has let somebody in or out: policies for newcomers, word of the ended.

Told without waiting, done a moment later and for many at once. What a crash takes away is made up
for at the next start, which refreshes every organization.
"""

import logging
from typing import Final

from control.ca.ledger import AgentState
from control.ca.revocation import STOLEN, Ended
from control.model.records import Alert, Severity
from control.services.alerts import Alerts
from control.services.events import Bus, Event, Topic
from control.services.policies import Policies
from control.services.presence import Watch
from control.store import policies
from control.store.store import Store

log: Final = logging.getLogger("freehold.control.aftermath")


class Aftermath:
    """`admitted` and `ended` never wait; `tick` does what they asked for."""

    def __init__(
        self, store: Store, bus: Bus, watch: Watch, policies_: Policies, alerts: Alerts
    ) -> None:
        self._store = store
        self._bus = bus
        self._watch = watch
        self._policies = policies_
        self._alerts = alerts
        self._stolen: list[Alert] = []

    async def load(self) -> None:
        """Every organization with a policy is due: agents may have come before we went."""
        for org in await self._store.read(policies.organizations):
            self._policies.due(org)

    def admitted(self, org: str) -> None:
        """An agent of this organization has come: it should have its policies."""
        self._policies.due(org)

    def ended(self, ended: Ended) -> None:
        """An agent no longer counts: its connection ends now, and a theft is an alert."""
        org, vault = ended.name
        self._watch.forget(org, vault)
        self._bus.publish(Event(Topic.LIFE, org, vault, str(ended.state)))
        log.warning("agent %s/%s is %s: %s", org, vault, ended.state, ended.reason)
        if ended.state is AgentState.LOCKED and ended.reason == STOLEN:
            told = f"agent {vault} is locked: {STOLEN}; enrol it anew"
            self._stolen.append(
                self._alerts.make(org, vault, "agent_locked", Severity.CRITICAL, told)
            )

    async def tick(self) -> None:
        """Raises `UnavailableError`; what was not done is due again."""
        if self._stolen:
            raised = list(self._stolen)
            await self._alerts.raise_(*raised)
            del self._stolen[: len(raised)]
