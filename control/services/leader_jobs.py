"""Jobs that only the leader runs, and what the others do when a process has died."""

from collections.abc import Awaitable, Callable

from control.services.enrolment_hooks import EnrolmentHooks
from control.services.presence import PresenceTracker
from control.store.lease import Lease


class LeaderJobs:
    """Knows whether this process leads."""

    def __init__(self, lease: Lease, presence: PresenceTracker, hooks: EnrolmentHooks) -> None:
        self._lease = lease
        self._watch = presence
        self._aftermath = hooks
        self._led = lease.leads
        self._peers = lease.peers

    def when_leading(self, job: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
        """The job, which does nothing unless this process leads."""

        async def run() -> None:
            if self._lease.leads:
                await job()

        return run

    async def check_peers(self) -> None:
        """Notice new leaders and dead processes. Raises `UnavailableError`; then it is due again.

        A process that died may have stored a change and not what follows of it, so everything is
        checked. It may also have heard agents without storing that, so all silences begin anew.
        """
        leads, peers = self._lease.leads, self._lease.peers
        gone = self._peers - peers
        if leads and (gone or not self._led):
            await self._aftermath.mark_all_due()
        if gone:
            self._watch.restart_silence()
        self._led, self._peers = leads, peers
