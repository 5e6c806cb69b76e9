"""Rewrapping after a rotation of the key-encryption key, as ordinary audited operations."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from actors import World
from vault.model.operation import Operation, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import RewrapDataKeys
from vault.model.results import RewrapStep

SERVICE: Final = "key-rewrap"


@dataclass(frozen=True)
class KekRewrap:
    """Asks for steps of `sys.rewrap` while versions may be under an older key."""

    run: Callable[[Operation], Awaitable[object]]
    is_behind: Callable[[], Awaitable[bool]]
    world: World

    async def __call__(self) -> None:
        """One pass, if there is anything to do. Raises what the operations raise."""
        while await self.is_behind():
            step = await self.run(self._operation())
            if not isinstance(step, RewrapStep):
                raise TypeError("sys.rewrap answers how far it is")
            if step.complete:
                return

    def _operation(self) -> Operation:
        return Operation(
            name="sys.rewrap",
            path=ResourcePath.parse("sys/rewrap"),
            payload=RewrapDataKeys(),
            request_id=self.world.new_id(),
            credential=None,
            origin=Origin(ip="", dialect="service"),
            service=SERVICE,
        )
