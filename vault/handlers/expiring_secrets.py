"""A look at the secrets that expire soon, and at those that have expired."""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import nsmallest

from actors.world import World
from protocols.link.limits import MAX_EXPIRING
from vault import operations
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.handlers.stores import SecretStore
from vault.model.operation import Capability
from vault.model.records import RecordStatus, SecretRow
from vault.model.usage import ExpiringReport, ExpiringSecret, FindExpiring


@dataclass(frozen=True)
class ExpiringSecretHandlers:
    """The handler of `usage.expiring`. `opaque`: as of `usage.look`."""

    secrets: SecretStore
    opaque: Callable[[str, str], bytes]
    world: World

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.FIND_EXPIRING,
                run=self.expiring,
                capability=Capability.READ,
                audit_request=lambda payload: {"within": payload.within, "ended": payload.ended[0]},
                audit_response=lambda found: {"total": found.total, "ended": len(found.ended)},
            )
        )

    async def expiring(self, call: Call[FindExpiring]) -> ExpiringReport:
        """Those that have a value and expire within the time.

        Each secret is looked at: an index of the file could leave out one that is about to end.
        """
        payload = call.payload
        now = self.world.now()

        def describe(row: SecretRow) -> ExpiringSecret | None:
            is_asked_for = 0 < row.expires_at <= now + payload.within
            return self._describe(row) if is_asked_for and _is_active(row) else None

        found = [one for one in await self.secrets.select_all(describe) if one]
        ahead = [one for one in found if one.expires_at > now]
        over = [one for one in found if one.expires_at <= now and _sort_key(one) > payload.ended]
        return ExpiringReport(
            secrets=tuple(nsmallest(MAX_EXPIRING, ahead, key=lambda one: one.expires_at)),
            total=len(ahead),
            ended=tuple(nsmallest(MAX_EXPIRING, over, key=_sort_key)),
        )

    def _describe(self, row: SecretRow) -> ExpiringSecret:
        return ExpiringSecret(
            opaque=self.opaque("secret", row.id),
            version=row.current_version,
            expires_at=row.expires_at,
        )


def _is_active(row: SecretRow) -> bool:
    return row.status == RecordStatus.ACTIVE


def _sort_key(one: ExpiringSecret) -> tuple[int, bytes]:
    """Where it is among all that have ended: no two are at one place."""
    return one.expires_at, one.opaque
