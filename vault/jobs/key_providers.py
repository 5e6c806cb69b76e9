"""Wrappings of key providers that were away or are new, and of those that nobody has any more."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from actors import World
from vault import operations
from vault.errors import ConflictError
from vault.model.operation import RunOperation, service_operation
from vault.model.payloads import Nothing

RENEWAL_SERVICE: Final = "key-providers"
PROVIDER_CHECK_INTERVAL: Final = 60.0  # seconds


@dataclass(frozen=True)
class WrappingRenewal:
    """Asks for `sys.renew_wrappings` when there is something to do and the providers answer.

    Each node does for its own providers. Two at once do not overwrite each other.
    """

    run: RunOperation
    is_due: Callable[[], Awaitable[bool]]
    world: World

    async def __call__(self) -> None:
        """Raises what the operation raises."""
        if not await self.is_due():
            return
        with suppress(ConflictError):  # another node was quicker; the next look sees what is left
            await self.run(
                service_operation(
                    operations.RENEW_WRAPPINGS,
                    "sys/renew-wrappings",
                    Nothing(),
                    service=RENEWAL_SERVICE,
                    request_id=self.world.new_id(),
                )
            )
