"""A look at the secrets that expire soon, and at those that have expired."""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

from actors.world import World
from protocols.link.limits import MAX_EXPIRING
from vault.barrier import SECRETS, Barrier, StoreQuery
from vault.handlers.handler import Call, Handler, Handlers
from vault.model.operation import Capability
from vault.model.records import RecordStatus, SecretRow
from vault.model.usage import ExpiringReport, ExpiringSecret, FindExpiring

_PAGE: Final = 1_000


@dataclass(frozen=True)
class ExpiringSecretHandlers:
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
                audit_request=lambda asked: {"within": asked.within, "ended": asked.ended[0]},
                audit_response=lambda found: {"total": found.total, "ended": len(found.ended)},
            )
        }

    async def expiring(self, call: Call) -> ExpiringReport:
        """Those that have a value and expire within the time, by the index of when they do."""
        asked: FindExpiring = call.payload
        now, total = self.world.now(), 0
        soonest: list[SecretRow] = []
        ended: list[ExpiringSecret] = []
        after = None
        until = ("expires_at", now + asked.within)
        while page := await self.barrier.select(
            SECRETS, StoreQuery(at_most=until, after=after, limit=_PAGE)
        ):
            after = (page[-1].name,)
            active = [row for row in page if row.status == RecordStatus.ACTIVE]
            rows = [row for row in active if row.expires_at > now]
            total += len(rows)
            soonest = nsmallest(MAX_EXPIRING, soonest + rows, key=lambda row: row.expires_at)
            over = (self._describe(r) for r in active if asked.ended[0] <= r.expires_at <= now)
            news = [one for one in over if _sort_key(one) > asked.ended]
            ended = nsmallest(MAX_EXPIRING, ended + news, key=_sort_key)
        return ExpiringReport(
            secrets=tuple(self._describe(row) for row in soonest), total=total, ended=tuple(ended)
        )

    def _describe(self, row: SecretRow) -> ExpiringSecret:
        return ExpiringSecret(
            opaque=self.opaque("secret", row.id),
            version=row.current_version,
            expires_at=row.expires_at,
        )


def _sort_key(one: ExpiringSecret) -> tuple[int, bytes]:
    """Where it is among all that have ended: no two are at one place."""
    return one.expires_at, one.opaque
