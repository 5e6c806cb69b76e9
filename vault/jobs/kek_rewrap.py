"""Rewrapping after a rotation of the key-encryption key, as ordinary audited operations."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from actors import World
from vault import operations
from vault.model.operation import RunOperation, service_operation
from vault.model.payloads import RewrapDataKeys

SERVICE: Final = "key-rewrap"


@dataclass(frozen=True)
class KekRewrap:
    """Asks for steps of `sys.rewrap` while versions may be under an older key."""

    run: RunOperation
    is_behind: Callable[[], Awaitable[bool]]
    world: World

    async def __call__(self) -> None:
        """One pass, if there is anything to do. Raises what the operations raise."""
        while await self.is_behind():
            step = await self.run(
                service_operation(
                    operations.REWRAP_DATA_KEYS,
                    "sys/rewrap",
                    RewrapDataKeys(),
                    service=SERVICE,
                    request_id=self.world.new_id(),
                )
            )
            if step.complete:
                return
