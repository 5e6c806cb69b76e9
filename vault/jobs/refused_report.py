"""One record a window of the failed authentications and refusals that have none of their own."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from actors import World
from protocols.link.vocabulary import AlertCode
from vault.audit.record import AuditEvent
from vault.authz.record_limits import RecordLimits
from vault.model.identity import ANONYMOUS

REPORT_INTERVAL: Final = 60.0  # seconds that one record stands for
AUTHENTICATIONS_REFUSED: Final = "auth.refused"
AUTHORIZATIONS_REFUSED: Final = "authz.refused"
RecordEvent = Callable[[AuditEvent], Awaitable[None]]


@dataclass(frozen=True)
class RefusedReport:
    """Puts on record how many there were, of how many sources, and the one with most."""

    operation: str
    limits: RecordLimits
    record: RecordEvent
    world: World

    async def __call__(self) -> None:
        """Record what came since the last time. Raises what recording raises."""
        refused = self.limits.drain()
        if refused is None:
            return
        by_address = self.operation == AUTHENTICATIONS_REFUSED
        sources = "addresses" if by_address else "callers"
        told = f"{refused.count} refusals, {refused.sources} {sources}"
        await self.record(
            AuditEvent(
                request_id=self.world.new_id(),
                phase="outcome",
                operation=self.operation,
                path="",
                capability="",
                actor_id=ANONYMOUS.id if by_address else refused.most,
                actor_name=ANONYMOUS.name if by_address else "",
                method=ANONYMOUS.method,
                credential="",
                ip=refused.most if by_address else "",
                user_agent="",
                dialect="service",
                result="denied",
                code="too_many_failures" if by_address else "too_many_refusals",
                rule=f"{told}, {refused.most_count} from {refused.most}",
            )
        )


async def report_each(*reports: RefusedReport) -> None:
    """Make several reports, one after the other. Raises as the first that fails."""
    for report in reports:
        await report()


class LockoutReport:
    """Raises an alert that says how many lockouts began since the last one."""

    def __init__(self, begun: Callable[[], int], alert: Callable[[AlertCode, int], None]) -> None:
        """`begun` returns how many lockouts began in all; `alert` is `LinkPorts.raise_alert`."""
        self._begun = begun
        self._alert = alert
        self._told = begun()

    async def __call__(self) -> None:
        """Report what is new."""
        now = self._begun()
        if now != self._told:
            self._alert(AlertCode.LOCKOUT, now - self._told)
            self._told = now
