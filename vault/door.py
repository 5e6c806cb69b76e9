"""What a dialect asks of the gate. In a worker process another stands in its place."""

from typing import Protocol

from vault.gate import Initialised, SealStatus
from vault.model.mounts import MountBook
from vault.model.operation import Operation, Origin


class Door(Protocol):
    """Documented at `vault.gate.Gate`."""

    @property
    def mounts(self) -> MountBook:
        """See `Gate`."""
        ...

    @property
    def is_open(self) -> bool:
        """See `Gate`."""
        ...

    async def run(self, op: Operation) -> object:
        """See `Gate`."""
        ...

    async def knows(self, credential: str | None, origin: Origin) -> bool:
        """See `Gate`."""
        ...

    def status(self) -> SealStatus:
        """See `Gate`."""
        ...

    async def initialise(
        self, shares: int, threshold: int, root_token: str | None = None
    ) -> Initialised:
        """See `Gate`."""
        ...

    async def unseal(self, share: bytes) -> SealStatus:
        """See `Gate`."""
        ...

    def reset_unseal(self) -> SealStatus:
        """See `Gate`."""
        ...

    async def unseal_alone(self) -> bool:
        """See `Gate`."""
        ...

    async def wait_sealed(self) -> None:
        """See `Gate`."""
        ...
