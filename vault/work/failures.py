"""One record a window of the failed authentications that have none of their own."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from actors import World
from vault.audit.record import AuditEvent
from vault.authz.failures import FailureLimits
from vault.model.identity import ANONYMOUS

OPERATION: Final = "auth.refused"
Record = Callable[[AuditEvent], Awaitable[None]]


@dataclass(frozen=True)
class FailureReport:
    """Puts on record how many there were, from how many addresses, and the one with most."""

    limits: FailureLimits
    record: Record
    world: World

    async def __call__(self) -> None:
        """Record what came since the last time. Raises what recording raises."""
        refused = self.limits.drain()
        if refused is None:
            return
        told = f"{refused.count} refusals, {refused.addresses} addresses"
        await self.record(
            AuditEvent(
                request_id=self.world.new_id(),
                phase="outcome",
                operation=OPERATION,
                path="",
                capability="",
                actor_id=ANONYMOUS.id,
                actor_name=ANONYMOUS.name,
                method=ANONYMOUS.method,
                credential="",
                ip=refused.most,
                user_agent="",
                dialect="service",
                result="denied",
                code="too_many_failures",
                rule=f"{told}, {refused.most_count} from {refused.most}",
            )
        )
