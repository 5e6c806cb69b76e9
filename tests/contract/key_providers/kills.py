"""kill -9 of the helper process at random moments of init, unseal and rotation, round after round.

Each round makes a vault on a new database, opens it, and rotates the key on the token, while the
helper is killed again and again. What failed is asked for again, as the agent and people do. Then a
helper that nobody kills unwraps what is stored.

The helper's user may not write to SoftHSM's store, as docs/guides/hsm.md has it: see
`Token.protect`. `make hsm-kills` (ROUNDS=200).
"""

import argparse
import os
import random
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from actors import SystemWorld
from tests.support.softhsm import Token
from vault.barrier import Barrier, HmacRowGuard
from vault.config.key_providers import HsmSettings
from vault.crypto.keyring import Keyring
from vault.errors import ConflictError
from vault.model.mounts import MountTable
from vault.seal.bootstrap import BackendSystemTable
from vault.seal.manager import Core, SealManager
from vault.seal.root_key_operations import RootKeyOperations
from vault.seal.root_keys.factory import pkcs11_settings
from vault.seal.root_keys.process import PROGRAM, ProcessKeyProvider
from vault.seal.root_keys.provider import KeyProviderError
from vault.store.sqlite import SqliteBackend
from vault.store.store import open_store

ROUNDS: Final = 200
KILLS: Final = 3
"""Of each step."""
LATEST: Final = 0.25
"""Seconds until a kill: a helper that has just been started takes about half of it to log in."""
ATTEMPTS: Final = 20
NOBODY: Final = 65_534


class Run:
    """One run on one token, and what it has counted."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.chance = folder, random.Random(seed)
        folder.chmod(0o755)  # for a helper of another user
        self.token = Token(folder / "softhsm")
        self.keys = 0
        self.program = PROGRAM
        if os.getuid() == 0:  # whom no mode stops
            os.chown(self.token.pin_file, NOBODY, NOBODY)
            user = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
            self.program = (*user, *PROGRAM)
        self.world = SystemWorld()
        self.kills = 0
        self.told: dict[str, int] = {}
        self.operations: RootKeyOperations | None = None

    def make_key(self) -> None:
        """The next version, as an administrator makes it."""
        self.keys += 1
        self.token.protect(writable=True)
        self.token.change_keys(
            {"label": "root", "id": f"{self.keys:04x}", "value": f"{self.keys:064x}"}
        )
        self.token.protect(writable=False)

    def provider(self) -> ProcessKeyProvider:
        """On the token."""
        hsm = HsmSettings.model_validate(self.token.section()["hsm"])
        return ProcessKeyProvider(
            "hsm", "pkcs11", pkcs11_settings(hsm),
            environment=self.token.environment | {"PYTHONPATH": str(Path.cwd())},
            timeout=20.0, creates_keys=False, world=self.world, program=self.program,
        )  # fmt: skip

    async def play(self, number: int) -> None:
        """One round."""
        backend = SqliteBackend(f"sqlite:///{self.folder}/{number}.db")
        backend.open()
        provider = self.provider()
        await trio.to_thread.run_sync(self.make_key)
        try:
            async with trio.open_nursery() as nursery:
                manager = self._manager(backend, provider)
                await nursery.start(manager.run_until_cancelled)
                await self._until_done(provider, lambda: self._initialize(manager))
                await self._until_done(provider, manager.auto_unseal)
                assert manager.is_open
                assert self.operations is not None
                await trio.to_thread.run_sync(self.make_key)
                await self._until_done(provider, self.operations.rotate_wrapping)
                manager.request_seal()
                await manager.wait_sealed()
                await provider.aclose()
                await self._check(backend, nursery)
                nursery.cancel_scope.cancel()
        finally:
            await provider.aclose()
            backend.close()

    async def _initialize(self, manager: SealManager) -> None:
        with suppress(ConflictError):
            await manager.initialize(1, 1)

    async def _check(self, backend: SqliteBackend, nursery: trio.Nursery) -> None:
        """Another agent opens the vault, by a helper that nobody kills."""
        provider = self.provider()
        manager = self._manager(backend, provider)
        await nursery.start(manager.run_until_cancelled)
        try:
            assert await manager.auto_unseal()
            manager.request_seal()
            await manager.wait_sealed()
        finally:
            await provider.aclose()

    def _manager(self, backend: SqliteBackend, provider: ProcessKeyProvider) -> SealManager:
        def open_core(
            keyring: Keyring, root_key: bytes, by_operator: bool, _break_glass: object
        ) -> AbstractAsyncContextManager[Core]:
            assert not by_operator
            return self._open(backend, provider, manager, keyring, root_key)

        manager = SealManager(
            system_table=BackendSystemTable(backend, self.world), open_core=open_core,
            key_file=None, org="org", world=self.world, check_paths=trio.lowlevel.checkpoint,
            key_provider=provider,
        )  # fmt: skip
        return manager

    @asynccontextmanager
    async def _open(
        self,
        backend: SqliteBackend,
        provider: ProcessKeyProvider,
        manager: SealManager,
        keyring: Keyring,
        root_key: bytes,
    ) -> AsyncIterator[Core]:
        """The data path as far as the root key goes."""
        async with open_store(backend, HmacRowGuard(keyring), self.world) as store:
            barrier = Barrier(store, keyring, root_key, self.world)
            await barrier.load_use_counter()
            self.operations = RootKeyOperations(
                barrier, None, self.world, mint_root_token=_never, suspend_peers=_nobody,
                on_rekeyed=manager.reload, request_seal=manager.request_seal,
                key_provider=provider,
            )  # fmt: skip
            yield Core(_Nothing(), MountTable())

    async def _until_done(
        self, provider: ProcessKeyProvider, step: Callable[[], Awaitable[object]]
    ) -> None:
        """The step, under kills, until it succeeds."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._kill, provider)
            last = ""
            for _ in range(ATTEMPTS):
                try:
                    await step()
                    break
                except KeyProviderError as error:
                    last = error.message
                    self.told[error.code] = self.told.get(error.code, 0) + 1
            else:
                raise AssertionError(f"not done after {ATTEMPTS} attempts: {last}")
            nursery.cancel_scope.cancel()

    async def _kill(self, provider: ProcessKeyProvider) -> None:
        for _ in range(KILLS):
            await trio.sleep(self.chance.uniform(0, LATEST))
            if (pid := provider.pid) is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.kills += 1


class _Nothing:
    async def run_operation(self, _op: object) -> object:
        raise AssertionError

    async def knows(self, _credential: str | None, _origin: object) -> bool:
        raise AssertionError

    async def catch_up(self) -> None:
        raise AssertionError


async def _never() -> str:
    raise AssertionError


@asynccontextmanager
async def _nobody() -> AsyncIterator[Callable[[bytes, int], None]]:
    raise AssertionError
    yield


def main() -> None:
    """Play the rounds; the first that loses something ends the run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="freehold-hsm-kills-") as name:
        run = Run(Path(name), given.seed)
        for number in range(given.rounds):
            trio.run(run.play, number)
    seconds = time.monotonic() - began
    print(
        f"{given.rounds} rounds of init, unseal and rotation in {seconds:.0f} s: "
        f"{run.kills} kills, {sum(run.told.values())} calls refused {run.told}, nothing lost"
    )


if __name__ == "__main__":
    main()
