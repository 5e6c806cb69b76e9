"""Rotation of the key-encryption key when it is due, and rewrapping after it.

Both are ordinary audited operations.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from actors import World
from protocols.link.vocabulary import AlertCode
from vault import operations
from vault.cluster.leases import FencedError
from vault.errors import VaultError
from vault.model.operation import OperationType, P, R, RunOperation, service_operation
from vault.model.payloads import Nothing, RewrapDataKeys

ROTATION_SERVICE: Final = "key-rotation"
REWRAP_SERVICE: Final = "key-rewrap"


@dataclass(frozen=True)
class KekRotation:
    """Asks for `sys.rotate` and then `sys.rewrap` whenever the KEK is due."""

    run: RunOperation
    is_due: Callable[[], bool]
    world: World
    alert: Callable[[AlertCode, int], None]
    """As `vault.control_link.ports.LinkPorts`'s."""

    async def __call__(self) -> None:
        """Rotate if it is due. Raises what the operations raise."""
        if not self.is_due():
            return
        try:
            await self._run(operations.ROTATE_KEY, "sys/rotate", Nothing())
            await self._run(operations.REWRAP_DATA_KEYS, "sys/rewrap", Nothing())
        except FencedError:
            raise  # another agent rotates
        except VaultError:
            self.alert(AlertCode.ROTATION_FAILED, 1)
            raise

    async def _run(self, operation: OperationType[P, R], path: str, payload: P) -> R:
        request_id = self.world.new_id()
        return await self.run(
            service_operation(
                operation, path, payload, service=ROTATION_SERVICE, request_id=request_id
            )
        )


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
                    service=REWRAP_SERVICE,
                    request_id=self.world.new_id(),
                )
            )
            if step.complete:
                return
