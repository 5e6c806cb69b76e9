"""Hooks of the CA: policies for agents that enrolled, an event for agents that ended.

Hooks do not wait. Policies of a new agent that a crash prevents are made up for at the next start,
which refreshes every organization. The alert about a theft is stored with the lock.
"""

import logging
from typing import Final

from control.ca.revocation import REPLACED, AgentEnded
from control.services.event_bus import Event, EventBus, Topic
from control.services.policies import Policies
from control.services.presence import PresenceTracker
from control.store import policies
from control.store.store import Store

log: Final = logging.getLogger("freehold.control.enrolment")


class EnrolmentHooks:
    """`on_admitted` and `on_ended` do not wait."""

    def __init__(
        self, store: Store, bus: EventBus, presence: PresenceTracker, policies_service: Policies
    ) -> None:
        self._store = store
        self._bus = bus
        self._presence = presence
        self._policies = policies_service

    async def mark_all_due(self) -> None:
        """Mark every organization with a policy: agents may have enrolled before a crash."""
        for org in await self._store.read(policies.organizations_with_policies):
            self._policies.mark_due(org)

    def on_admitted(self, org: str) -> None:
        """An agent of this organization was enrolled: it should have its policies."""
        self._policies.mark_due(org)

    def on_ended(self, ended: AgentEnded) -> None:
        """An agent was locked, retired or replaced: its connection ends now.

        A replaced agent has a successor of the same name, which is expected.
        """
        org, vault = ended.name
        if ended.state != REPLACED:
            self._presence.forget(org, vault)
        self._bus.publish(Event(Topic.LIFE, org, vault, str(ended.state), ended.generation))
        log.warning("agent %s/%s is %s: %s", org, vault, ended.state, ended.reason)
        if ended.alert:
            self._bus.publish(Event(Topic.ALERT, org, vault, ended.alert))
