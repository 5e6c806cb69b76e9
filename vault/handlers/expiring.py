"""A look at the secrets that expire soon."""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

from actors.world import World
from protocols.link.limits import MAX_EXPIRING
from vault.barrier import SECRETS, Barrier, Query
from vault.handlers.handler import Call, Handler, Handlers
from vault.model.operation import Capability
from vault.model.records import SecretRow, Status
from vault.model.usage import ExpiringSecret, FoundExpiring, LookForExpiring

_PAGE: Final = 1_000


@dataclass(frozen=True)
class ExpiringHandlers:
    """The handler of `usage.expiring`. `opaque`: as of `usage.look`."""

    barrier: Barrier
    opaque: Callable[[str, str], bytes]
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return {
            "usage.expiring": Handler(
                run=self.expiring,
                capability=Capability.READ,
                request=lambda asked: {"within": asked.within},
                response=lambda found: {"total": found.total},
            )
        }

    async def expiring(self, call: Call) -> FoundExpiring:
        """Those that have a value and expire within the time, by the index of when they do."""
        asked: LookForExpiring = call.payload
        now, total = self.world.now(), 0
        soonest: list[SecretRow] = []
        after = None
        until = ("expires_at", now + asked.within)
        while page := await self.barrier.select(
            SECRETS, Query(at_most=until, after=after, limit=_PAGE)
        ):
            after = (page[-1].name,)
            rows = [r for r in page if r.expires_at > now and r.status == Status.ACTIVE]
            total += len(rows)
            soonest = nsmallest(MAX_EXPIRING, soonest + rows, key=lambda row: row.expires_at)
        return FoundExpiring(secrets=tuple(self._told(row) for row in soonest), total=total)

    def _told(self, row: SecretRow) -> ExpiringSecret:
        return ExpiringSecret(
            opaque=self.opaque("secret", row.id),
            version=row.current_version,
            expires_at=row.expires_at,
        )
