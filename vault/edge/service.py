"""What a dialect asks of the gate. In a worker process another stands in its place."""

from typing import Protocol

from vault.model.mounts import MountTable
from vault.model.operation import Operation, Origin
from vault.seal.manager import InitResult, SealStatus


class VaultService(Protocol):
    """Documented at `vault.seal.manager.Gate`."""

    @property
    def mounts(self) -> MountTable:
        """See `Gate`."""
        ...

    @property
    def is_open(self) -> bool:
        """See `Gate`."""
        ...

    async def run_operation(self, op: Operation) -> object:
        """See `Gate`."""
        ...

    async def knows(self, credential: str | None, origin: Origin) -> bool:
        """See `Gate`."""
        ...

    def status(self) -> SealStatus:
        """See `Gate`."""
        ...

    async def initialize(
        self, shares: int, threshold: int, root_token: str | None = None
    ) -> InitResult:
        """See `Gate`."""
        ...

    async def unseal(self, share: bytes) -> SealStatus:
        """See `Gate`."""
        ...

    def reset_unseal(self) -> SealStatus:
        """See `Gate`."""
        ...

    async def auto_unseal(self) -> bool:
        """See `Gate`."""
        ...

    async def wait_sealed(self) -> None:
        """See `Gate`."""
        ...
