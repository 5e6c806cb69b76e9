"""Refusals of strangers at the API: each operation has a pace of its own (`RefusalLog`).

So a flood of one, of forged ways back from a provider for instance, hides no wrong passwords. There
are a dozen operations that are open to strangers, and a cookie without its session key has one pace
for all, so the trail grows by 20 MB a day at most.
"""

from actors import World
from control.services.audit_log import AuditLog
from control.services.refusals import RefusalLog


class AnonymousRefusalLog:
    """Of one process."""

    def __init__(self, audit_log: AuditLog, world: World) -> None:
        self._audit_log = audit_log
        self._world = world
        self._logs: dict[str, RefusalLog] = {}

    def try_reserve(self, operation: str, source: str) -> bool:
        """Whether one more refusal of this client gets a record; else it is counted.

        `operation`: one that is declared, never what a client says.
        """
        if operation not in self._logs:
            self._logs[operation] = RefusalLog(self._audit_log, self._world, operation)
        return self._logs[operation].try_reserve(source)

    async def record_suppressed(self) -> None:
        """Put on the trail how many were only counted, if any. Raises `UnavailableError`."""
        for each in list(self._logs.values()):  # one may come while another is told
            await each.record_suppressed()
