"""What one process does for all, and what is made up for when one of them dies."""

from collections.abc import Awaitable, Callable

from control.services.aftermath import Aftermath
from control.services.presence import Watch
from control.store.lease import Lease


class Duty:
    """Knows whether it is this process' turn."""

    def __init__(self, lease: Lease, watch: Watch, aftermath: Aftermath) -> None:
        self._lease = lease
        self._watch = watch
        self._aftermath = aftermath
        self._led = lease.leads
        self._peers = lease.peers

    def led(self, job: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
        """The job, where this process leads."""

        async def run() -> None:
            if self._lease.leads:
                await job()

        return run

    async def tick(self) -> None:
        """See who is there. Raises `UnavailableError`; what was not done is due again.

        Whoever died may have stored a change and not what follows of it, so everything is looked
        at; and it may have heard agents that it told nobody of.
        """
        leads, peers = self._lease.leads, self._lease.peers
        gone = self._peers - peers
        if leads and (gone or not self._led):
            await self._aftermath.load()
        if gone:
            self._watch.excuse()
        self._led, self._peers = leads, peers
