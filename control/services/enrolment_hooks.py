"""What follows once the CA has let somebody in or out: policies for newcomers, word of the ended.

Told without waiting; what a crash takes away of a newcomer's policies is made up for at the next
start, which refreshes every organization. The alert of a theft is stored with the lock.
"""

import logging
from typing import Final

from control.ca.revocation import REPLACED, AgentEnded
from control.services.event_bus import Event, EventBus, Topic
from control.services.policies import Policies
from control.services.presence import PresenceTracker
from control.store import policies
from control.store.store import Store

log: Final = logging.getLogger("freehold.control.aftermath")


class EnrolmentHooks:
    """`on_admitted` and `ended` never wait."""

    def __init__(
        self, store: Store, bus: EventBus, presence: PresenceTracker, policies_service: Policies
    ) -> None:
        self._store = store
        self._bus = bus
        self._watch = presence
        self._policies = policies_service

    async def mark_all_due(self) -> None:
        """Every organization with a policy is due: agents may have come before we went."""
        for org in await self._store.read(policies.organizations_with_policies):
            self._policies.mark_due(org)

    def on_admitted(self, org: str) -> None:
        """An agent of this organization has come: it should have its policies."""
        self._policies.mark_due(org)

    def on_ended(self, ended: AgentEnded) -> None:
        """An agent no longer counts: its connection ends now, and who looks sees the alert.

        One that was replaced is another's name: that one is expected.
        """
        org, vault = ended.name
        if ended.state != REPLACED:
            self._watch.forget(org, vault)
        self._bus.publish(Event(Topic.LIFE, org, vault, str(ended.state), ended.generation))
        log.warning("agent %s/%s is %s: %s", org, vault, ended.state, ended.reason)
        if ended.alert:
            self._bus.publish(Event(Topic.ALERT, org, vault, ended.alert))
