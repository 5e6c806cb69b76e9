"""kill -9 of helper processes at random moments of all that a seal does, round after round.

Each round makes a vault on a new database whose root key a token and a file wrap, opens it, rotates
the keys and then the root key itself, moves the root key into people's shares and back to the
token, while the helpers are killed again and again. What failed is asked for again, as the agent
and people do. After each step helpers that nobody kills open the vault, each provider alone.

The helper's user may not write to SoftHSM's store, as docs/guides/hsm.md has it: see
`Token.protect`. `make hsm-kills` (ROUNDS=200).
"""

import argparse
import os
import random
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import trio

from actors import SystemWorld
from tests.support.softhsm import Token
from vault.barrier import KEYRING_ROW, SEAL_ROW, Barrier, HmacRowGuard
from vault.config.key_providers import HsmSettings
from vault.crypto.keyring import Keyring
from vault.errors import ConflictError
from vault.model.mounts import MountTable
from vault.seal.bootstrap import BackendSystemTable
from vault.seal.configured_seal import SHARES, ConfiguredSeal, ConfiguredSeals
from vault.seal.key_providers import KeyProviders
from vault.seal.manager import Core, SealManager
from vault.seal.root_key_operations import RootKeyOperations
from vault.seal.root_keys.factory import pkcs11_settings
from vault.seal.root_keys.process import PROGRAM, ProcessKeyProvider
from vault.seal.root_keys.provider import KeyProviderError
from vault.seal.seal_record import SealRecord
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
        self.share = b""
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

    def file_provider(self, number: int) -> ProcessKeyProvider:
        """Its keys are in a file of this round's, of the agent's user."""
        return ProcessKeyProvider(
            "disk", "static", {"path": str(self.folder / f"{number}.keys")},
            environment={"PYTHONPATH": str(Path.cwd())}, timeout=20.0, creates_keys=True,
            world=self.world,
        )  # fmt: skip

    async def play(self, number: int) -> None:
        """One round."""
        backend = SqliteBackend(f"sqlite:///{self.folder}/{number}.db")
        backend.open()
        both = (self.provider(), self.file_provider(number))
        wrapped = ConfiguredSeals(ConfiguredSeal(None, KeyProviders(both, self.world)))
        shared = ConfiguredSeals(SHARES, wrapped.current)
        await trio.to_thread.run_sync(self.make_key)
        try:
            async with self._manager(backend, wrapped) as manager:
                await self._until_done(both, lambda: self._initialize(manager))
                await self._until_done(both, manager.auto_unseal)
                assert self.operations is not None
                await self._check(backend, number)
                await trio.to_thread.run_sync(self.make_key)
                await self._until_done(both, self.operations.rotate_wrapping)
                await self._until_done(both, self.operations.renew_wrappings)
                await self._check(backend, number)
                rotate = partial(self.operations.rotate_wrapping, new_root_key=True)
                await self._until_done(both, rotate)
                await self._until_done(both, self._renew)
                await self._check(backend, number)
            async with self._manager(backend, shared) as manager:
                await self._until_done(both, manager.auto_unseal)
                await self._until_done(both, self._migrate)
            async with self._manager(backend, ConfiguredSeals(SHARES)) as manager:
                assert not (await manager.unseal(self.share)).sealed
            async with self._manager(backend, wrapped) as manager:
                assert not (await manager.unseal(self.share)).sealed
                await self._until_done(both, self._migrate)
                await self._check(backend, number)
        finally:
            for each in both:
                await each.aclose()
            backend.close()

    async def _initialize(self, manager: SealManager) -> None:
        with suppress(ConflictError):
            (self.share,) = (await manager.initialize(1, 1)).recovery_shares

    async def _renew(self) -> None:
        """Until both have wrapped the root key."""
        assert self.operations is not None
        await self.operations.renew_wrappings()
        if await self.operations.needs_renewal():
            raise KeyProviderError("key_provider_unreachable", "one is missing still")

    async def _migrate(self) -> None:
        assert self.operations is not None
        assert (await self.operations.submit_migration_share(self.share, "")).complete

    async def _check(self, backend: SqliteBackend, number: int) -> None:
        """Other agents open the vault, each by one provider and by a helper that nobody kills."""
        rows = await BackendSystemTable(backend, self.world).load_rows()
        record = msgspec.json.decode(rows[SEAL_ROW], type=SealRecord)
        opened = 0
        for provider in (self.provider(), self.file_provider(number)):
            alone = KeyProviders([provider], self.world)
            try:
                if alone.has_wrapping(record):  # else it was away when the root key was replaced
                    decode = partial(self._decode, rows, record)
                    record.check(await alone.unwrap(record, decode))
                    opened += 1
            finally:
                await provider.aclose()
        assert opened == len(record.wrappings) > 0

    def _decode(self, rows: Mapping[str, bytes], record: SealRecord, root_key: bytes) -> bytes:
        Keyring.decode(root_key, rows[KEYRING_ROW], org=record.org, vault=record.vault)
        return root_key

    @asynccontextmanager
    async def _manager(
        self, backend: SqliteBackend, seals: ConfiguredSeals
    ) -> AsyncIterator[SealManager]:
        """An agent for the length of the block."""

        def open_core(
            keyring: Keyring, root_key: bytes, _: bool, _break_glass: object
        ) -> AbstractAsyncContextManager[Core]:
            return self._open(backend, seals, manager, keyring, root_key)

        manager = SealManager(
            system_table=BackendSystemTable(backend, self.world), open_core=open_core,
            seals=seals, org="org", world=self.world,
            check_paths=trio.lowlevel.checkpoint,
        )  # fmt: skip
        async with trio.open_nursery() as nursery:
            await nursery.start(manager.run_until_cancelled)
            await manager.reload()
            yield manager
            manager.request_seal()
            await manager.wait_sealed()
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def _open(
        self,
        backend: SqliteBackend,
        seals: ConfiguredSeals,
        manager: SealManager,
        keyring: Keyring,
        root_key: bytes,
    ) -> AsyncIterator[Core]:
        """The data path as far as the root key goes."""
        async with open_store(backend, HmacRowGuard(keyring), self.world) as store:
            barrier = Barrier(store, keyring, root_key, self.world)
            await barrier.load_use_counter()
            self.operations = RootKeyOperations(
                barrier, seals, self.world, node="n1",
                mint_root_token=_never, suspend_peers=_nobody, on_rekeyed=manager.reload,
                request_reopening=manager.request_reopening,
            )  # fmt: skip
            yield Core(_Nothing(), MountTable())

    async def _until_done(
        self, providers: tuple[ProcessKeyProvider, ...], step: Callable[[], Awaitable[object]]
    ) -> None:
        """The step, under kills, until it succeeds."""
        async with trio.open_nursery() as nursery:
            for provider in providers:
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
    yield lambda _root_key, _epoch: None


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
        f"{given.rounds} rounds of init, unseal, rotation and migration in {seconds:.0f} s: "
        f"{run.kills} kills, {sum(run.told.values())} calls refused {run.told}, nothing lost"
    )


if __name__ == "__main__":
    main()
