"""Asks identity sources again about those who have logged in, so that who left there is out here.

Each check is an ordinary audited operation. One mount at a time waits for its source, all mounts at
once: a source that is slow or down delays no other, and ends nobody's session.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from actors.world import World
from vault import operations
from vault.errors import UnavailableError, VaultError
from vault.model.operation import RunOperation, service_operation
from vault.model.payloads import CheckSource
from vault.model.records import EntityAliasRow

SERVICE: Final = "source-checks"
PLACE: Final = "sys/aliases"
CHECK_INTERVAL: Final = 30.0  # seconds between two looks at what is due
TURN_SECONDS: Final = 300.0  # that one turn may take
BATCH: Final = 64  # aliases of one mount and query
MAX_MOUNTS: Final = 16  # whose sources are asked at a time


class DueAliases(Protocol):
    """Documented at `vault.authn.source_checks.SourceRecords`."""

    def list_accessors(self) -> list[str]:
        """Of all auth mounts."""
        ...

    def list_due(self, accessor: str, before: int, limit: int) -> Awaitable[list[EntityAliasRow]]:
        """Aliases whose source was last asked at `before` or earlier, oldest first."""
        ...


@dataclass(frozen=True)
class SourceChecks:
    """`max_age`: how old a source's last word may become, in ns. To be run under a lease."""

    due: DueAliases
    run: RunOperation
    max_age: int
    world: World
    on_unavailable: Callable[[str], object] = lambda _: None

    async def __call__(self) -> None:
        """One turn: all mounts at once, each until nothing is due or its source does not answer."""
        if self.world.clock.is_suspended:
            return
        limiter = trio.CapacityLimiter(MAX_MOUNTS)
        with trio.move_on_after(TURN_SECONDS):
            async with trio.open_nursery() as nursery:
                for accessor in self.due.list_accessors():
                    nursery.start_soon(self._check_mount, accessor, limiter)

    async def _check_mount(self, accessor: str, limiter: trio.CapacityLimiter) -> None:
        async with limiter:
            before = self.world.now() - self.max_age
            while rows := await self.due.list_due(accessor, before, BATCH):
                for row in rows:
                    if not await self._check(row):
                        return

    async def _check(self, row: EntityAliasRow) -> bool:
        """Have one alias checked; whether the mount's next one is worth asking about."""
        try:
            await self.run(
                service_operation(
                    operations.CHECK_SOURCE,
                    f"{PLACE}/{row.id}",
                    CheckSource(alias_key=row.alias_key),
                    service=SERVICE,
                    request_id=self.world.new_id(),
                )
            )
        except UnavailableError:
            self.on_unavailable(row.mount_accessor)
            return False
        except VaultError:
            return False  # it is on record; the next turn tries again
        return True
