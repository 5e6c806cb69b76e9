"""A gate over system rows and a data path that are fakes."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from actors.testing import FakeWorld
from vault.crypto.keyring import Keyring
from vault.errors import VaultError
from vault.model.mounts import MountTable
from vault.model.operation import Operation
from vault.model.records import SystemRow
from vault.seal.break_glass import BreakGlassUse
from vault.seal.configured_seal import ConfiguredSeal, ConfiguredSeals
from vault.seal.key_providers import KeyProviders
from vault.seal.manager import Core, InitResult, SealManager
from vault.seal.root_keys.file import FileRootKey
from vault.seal.root_keys.provider import KeyProvider


class FakeSystem:
    """The system rows, in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.root_tokens: list[str | None] = []
        self.error: VaultError | None = None

    async def load_rows(self) -> dict[str, bytes]:
        """As they are."""
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        return dict(self.rows)

    async def create_vault(
        self, _keyring: Keyring, rows: list[SystemRow], root_token: str | None
    ) -> str:
        """All of them."""
        await trio.lowlevel.checkpoint()
        self.rows |= {row.name: row.value for row in rows}
        self.root_tokens.append(root_token)
        return root_token or "s.minted"


class FakeUnit:
    """A data path that notes when it is built and taken down, and runs what it is told."""

    def __init__(self) -> None:
        self.diary: list[str] = []
        self.keyrings: list[Keyring] = []
        self.by_person: list[bool] = []
        self.refuse: Exception | None = None
        self.end_error: Exception | None = None
        """What is raised when it is taken down."""
        self.shuts = 0
        self.break_glass: list[BreakGlassUse | None] = []
        self.work: Callable[[], Any] | None = None

    @asynccontextmanager
    async def open(
        self,
        keyring: Keyring,
        _root_key: bytes,
        by_person: bool,
        break_glass: BreakGlassUse | None = None,
    ) -> AsyncIterator[Core]:
        """Build it."""
        await trio.lowlevel.checkpoint()
        if self.refuse is not None:
            raise self.refuse
        self.keyrings.append(keyring)
        self.by_person.append(by_person)
        self.break_glass.append(break_glass)
        parts: list[object] = [keyring]
        parts.append(parts)  # as those of a real one, they know each other
        self.diary.append("built")
        try:
            yield Core(self, MountTable(), shut=self.shut)
        finally:
            self.diary.append("taken down")
            if self.end_error is not None:
                raise self.end_error

    def shut(self) -> None:
        """Other processes are told that nothing new is answered."""
        self.shuts += 1

    async def catch_up(self) -> None:
        """Nobody else commits."""

    async def run_operation(self, op: Operation) -> object:
        """One operation."""
        await trio.lowlevel.checkpoint()
        self.diary.append(f"run {op.name}")
        if self.work is not None:
            await self.work()
        self.diary.append(f"done {op.name}")
        return "answer"


class Vault:
    """A gate and its fakes."""

    def __init__(
        self,
        nursery: trio.Nursery,
        key_file: FileRootKey | None,
        *key_providers: KeyProvider,
    ) -> None:
        self.system, self.fake_core, self.nursery = FakeSystem(), FakeUnit(), nursery
        self.world = FakeWorld()
        self.lacks: VaultError | None = None
        self.seal_manager = self.make(key_file, *key_providers)

    def make(
        self,
        key_file: FileRootKey | None = None,
        *key_providers: KeyProvider,
        former: ConfiguredSeal | None = None,
    ) -> SealManager:
        """Another process on the same database."""
        current = self.seal(key_file, *key_providers)
        return SealManager(
            system_table=self.system,
            open_core=self.fake_core.open,
            seals=ConfiguredSeals(current, former),
            org="org",
            world=self.world,
            check_paths=self.try_out,
        )

    def seal(
        self, key_file: FileRootKey | None = None, *key_providers: KeyProvider
    ) -> ConfiguredSeal:
        """As a configuration names it."""
        providers = KeyProviders(key_providers, self.world) if key_providers else None
        return ConfiguredSeal(key_file, providers)

    async def try_out(self) -> None:
        """What an opening needs is there, unless a test says otherwise."""
        await trio.lowlevel.checkpoint()
        if self.lacks is not None:
            raise self.lacks

    async def init(self, shares: int = 3, threshold: int = 2) -> InitResult:
        """A new vault whose gate is served."""
        await self.nursery.start(self.seal_manager.run_until_cancelled)
        return await self.seal_manager.initialize(shares, threshold)

    async def init_and_unseal(self) -> InitResult:
        """A new vault, unsealed."""
        made = await self.init()
        for share in made.shares[:2]:
            await self.seal_manager.unseal(share)
        return made
