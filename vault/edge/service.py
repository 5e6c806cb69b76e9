"""The interface of the vault that a dialect calls."""

from typing import Protocol

from vault.authn.methods.method import AuthSurface
from vault.model.break_glass import BreakGlassProgress
from vault.model.mounts import MountTable
from vault.model.operation import Operation, Origin, P, R
from vault.seal.manager import InitResult, SealStatus


class VaultService(Protocol):
    """Implemented by `vault.seal.manager.SealManager`, and by worker processes."""

    @property
    def mounts(self) -> MountTable:
        """Where the secret engines are mounted."""
        ...

    @property
    def auth(self) -> AuthSurface:
        """Where auth methods are mounted, and which there are."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether operations are served."""
        ...

    async def catch_up(self) -> None:
        """See what any process or agent acknowledged before. Raises `VaultError`."""
        ...

    async def run_operation(self, op: Operation[P, R]) -> R:
        """Run one operation and return its result. Raises `VaultError`."""
        ...

    async def knows(self, credential: str | None, origin: Origin) -> bool:
        """Whether a credential stands."""
        ...

    def status(self) -> SealStatus:
        """What anybody may ask, also while sealed."""
        ...

    async def initialize(
        self, shares: int, threshold: int, root_token: str | None = None
    ) -> InitResult:
        """Make the keys of a new vault and its first root token; leaves it sealed."""
        ...

    async def unseal(self, share: bytes, *, migrate: bool = False) -> SealStatus:
        """Offer a share; at the last one needed the vault opens."""
        ...

    def take_migration_shares(self) -> tuple[bytes, ...]:
        """The shares that have just unsealed the vault with `migrate`, once; else none."""
        ...

    def reset_unseal(self) -> SealStatus:
        """Forget the shares offered so far."""
        ...

    def break_glass_progress(self) -> BreakGlassProgress:
        """How far an opening by break-glass holders is."""
        ...

    async def submit_break_glass_share(self, share: str, code: str) -> BreakGlassProgress:
        """Offer a break-glass share; at the last one needed the vault opens."""
        ...

    async def auto_unseal(self) -> bool:
        """Open with the key file, if there is one; returns whether it did."""
        ...

    async def wait_sealed(self) -> None:
        """Return when the data path is gone."""
        ...
