"""What one process does for all, and what is made up for when one of them dies."""

from collections.abc import Awaitable, Callable

from control.services.enrolment_hooks import EnrolmentHooks
from control.services.presence import PresenceTracker
from control.store.lease import Lease


class LeaderJobs:
    """Knows whether it is this process' turn."""

    def __init__(self, lease: Lease, presence: PresenceTracker, hooks: EnrolmentHooks) -> None:
        self._lease = lease
        self._watch = presence
        self._aftermath = hooks
        self._led = lease.leads
        self._peers = lease.peers

    def when_leading(self, job: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
        """The job, where this process leads."""

        async def run() -> None:
            if self._lease.leads:
                await job()

        return run

    async def check_peers(self) -> None:
        """See who is there. Raises `UnavailableError`; what was not done is due again.

        Whoever died may have stored a change and not what follows of it, so everything is looked
        at; and it may have heard agents that it told nobody of.
        """
        leads, peers = self._lease.leads, self._lease.peers
        gone = self._peers - peers
        if leads and (gone or not self._led):
            await self._aftermath.mark_all_due()
        if gone:
            self._watch.restart_silence()
        self._led, self._peers = leads, peers
