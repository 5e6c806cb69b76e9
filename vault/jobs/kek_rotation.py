"""Rotation of the key-encryption key when it is due, as an ordinary audited operation."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from actors import World
from protocols.link.vocabulary import AlertCode
from vault.errors import VaultError
from vault.model.operation import Operation, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import NoParameters

SERVICE: Final = "key-rotation"
RunOperation = Callable[[Operation], Awaitable[object]]


@dataclass(frozen=True)
class KekRotation:
    """Asks for `sys.rotate` and then `sys.rewrap` whenever the KEK is due."""

    run: RunOperation
    is_due: Callable[[], bool]
    world: World
    alert: Callable[[AlertCode, int], None]
    """As `vault.handlers.control_plane.LinkPorts`'s."""

    async def __call__(self) -> None:
        """Rotate if it is due. Raises what the operations raise."""
        if not self.is_due():
            return
        try:
            await self.run(self._operation("sys.rotate", "sys/rotate"))
            await self.run(self._operation("sys.rewrap", "sys/rewrap"))
        except VaultError:
            self.alert(AlertCode.ROTATION_FAILED, 1)
            raise

    def _operation(self, name: str, path: str) -> Operation:
        return Operation(
            name=name,
            path=ResourcePath.parse(path),
            payload=NoParameters(),
            request_id=self.world.new_id(),
            credential=None,
            origin=Origin(ip="", dialect="service"),
            service=SERVICE,
        )
