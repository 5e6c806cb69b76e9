"""What the dialects of a worker call: its own data path, while it has one."""

from collections.abc import Callable
from typing import NoReturn

import trio

from vault.authn.methods.method import AuthSurface
from vault.errors import UnavailableError
from vault.model.break_glass import BreakGlassProgress
from vault.model.mounts import MountTable
from vault.model.operation import Operation, Origin, P, R
from vault.pipeline import Pipeline
from vault.seal.manager import DRAIN_TIMEOUT, InitResult, SealStatus
from vault.workers.page import OPENING, Page


class WorkerService:
    """`VaultService` of a worker. Routes about the seal are relayed (`vault.workers.relay`)."""

    def __init__(self, page: Page) -> None:
        self._words = page.words
        self._opening = 0
        self._is_behind: Callable[[], bool] = bool
        self._pipeline: Pipeline | None = None
        self._mounts, self._auth = MountTable(), AuthSurface()
        self._in_flight = 0
        self._idle = trio.Event()

    @property
    def is_open(self) -> bool:
        """Whether operations are served here; no from the moment in which the agent seals."""
        return self._pipeline is not None and self._words[OPENING] == self._opening

    @property
    def is_serving(self) -> bool:
        """Whether requests are answered here: not while much is missing that others committed."""
        return self.is_open and not self._is_behind()

    @property
    def mounts(self) -> MountTable:
        """Where the secret engines are mounted."""
        return self._mounts

    @property
    def auth(self) -> AuthSurface:
        """Where auth methods are mounted, and which there are."""
        return self._auth

    async def run_operation(self, op: Operation[P, R]) -> R:
        """Run an operation. Raises `UnavailableError` (`sealed`) while there is no data path."""
        pipeline = self._open_pipeline()
        self._in_flight += 1
        try:
            return await pipeline.run_operation(op)
        finally:
            self._leave()

    async def knows(self, credential: str | None, origin: Origin) -> bool:
        """Whether a credential stands. Raises as `run_operation`."""
        pipeline = self._open_pipeline()
        self._in_flight += 1
        try:
            return await pipeline.knows(credential, origin)
        finally:
            self._leave()

    async def catch_up(self) -> None:
        """See what any process or agent acknowledged before. Raises `VaultError`."""
        pipeline = self._open_pipeline()
        self._in_flight += 1
        try:
            await pipeline.catch_up()
        finally:
            self._leave()

    def open(
        self,
        opening: int,
        pipeline: Pipeline,
        mounts: MountTable,
        is_behind: Callable[[], bool] = bool,
        auth: AuthSurface = AuthSurface(),  # noqa: B008  # frozen, and of nobody
    ) -> None:
        """Let operations in, as long as this opening of the vault lasts.

        `is_behind`: see `Store.is_behind`.
        """
        self._opening, self._pipeline, self._mounts = opening, pipeline, mounts
        self._is_behind, self._auth = is_behind, auth

    async def shut(self) -> None:
        """Let none in any more, and give those in flight their time."""
        self._pipeline, self._mounts, self._auth = None, MountTable(), AuthSurface()
        self._idle = trio.Event()
        with trio.move_on_after(DRAIN_TIMEOUT):
            if self._in_flight:
                await self._idle.wait()

    def _open_pipeline(self) -> Pipeline:
        pipeline = self._pipeline
        if pipeline is None or not self.is_open:
            raise UnavailableError("sealed", "Vault is sealed")
        return pipeline

    def _leave(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    # The leader's, to which every route that asks is relayed.

    def status(self) -> SealStatus:
        """The leader's."""
        _not_relayed()

    async def initialize(
        self, shares: int, threshold: int, root_token: str | None = None
    ) -> InitResult:
        """The leader's."""
        _not_relayed(shares, threshold, root_token)

    async def unseal(self, share: bytes, *, migrate: bool = False) -> SealStatus:
        """The leader's."""
        _not_relayed(share, migrate)

    def take_migration_shares(self) -> tuple[bytes, ...]:
        """The leader's."""
        _not_relayed()

    def reset_unseal(self) -> SealStatus:
        """The leader's."""
        _not_relayed()

    def break_glass_progress(self) -> BreakGlassProgress:
        """The leader's."""
        _not_relayed()

    async def submit_break_glass_share(self, share: str, code: str) -> BreakGlassProgress:
        """The leader's."""
        _not_relayed(share, code)

    async def auto_unseal(self) -> bool:
        """The leader's."""
        _not_relayed()

    async def wait_sealed(self) -> None:
        """The leader's."""
        _not_relayed()


def _not_relayed(*_: object) -> NoReturn:
    raise RuntimeError("this route is the leader's and was not relayed")
