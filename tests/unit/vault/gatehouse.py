"""A gate over system rows and a data path that are fakes."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from actors.testing import FakeWorld
from vault.crypto.kek.file import FileRootKey
from vault.crypto.keyring import Keyring
from vault.errors import VaultError
from vault.gate import Gate, Initialised, Unit
from vault.model.mounts import MountBook
from vault.model.operation import Operation
from vault.model.records import SystemRow


class FakeSystem:
    """The system rows, in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.root_tokens: list[str | None] = []
        self.error: VaultError | None = None

    async def load(self) -> dict[str, bytes]:
        """As they are."""
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        return dict(self.rows)

    async def create(self, _keyring: Keyring, rows: list[SystemRow], root_token: str | None) -> str:
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
        self.shuts = 0
        self.work: Callable[[], Any] | None = None

    @asynccontextmanager
    async def open(
        self, keyring: Keyring, _root_key: bytes, by_person: bool
    ) -> AsyncIterator[Unit]:
        """Build it."""
        await trio.lowlevel.checkpoint()
        if self.refuse is not None:
            raise self.refuse
        self.keyrings.append(keyring)
        self.by_person.append(by_person)
        parts: list[object] = [keyring]
        parts.append(parts)  # as those of a real one, they know each other
        self.diary.append("built")
        try:
            yield Unit(self, MountBook(), shut=self.shut)
        finally:
            self.diary.append("taken down")

    def shut(self) -> None:
        """Other processes are told that nothing new is answered."""
        self.shuts += 1

    async def run(self, op: Operation) -> object:
        """One operation."""
        await trio.lowlevel.checkpoint()
        self.diary.append(f"run {op.name}")
        if self.work is not None:
            await self.work()
        self.diary.append(f"done {op.name}")
        return "answer"


class Vault:
    """A gate and its fakes."""

    def __init__(self, nursery: trio.Nursery, key_file: FileRootKey | None) -> None:
        self.system, self.unit, self.nursery = FakeSystem(), FakeUnit(), nursery
        self.lacks: VaultError | None = None
        self.gate = self.make(key_file)

    def make(self, key_file: FileRootKey | None = None) -> Gate:
        """Another process on the same database."""
        return Gate(
            system=self.system,
            open_unit=self.unit.open,
            key_file=key_file,
            org="org",
            world=FakeWorld(),
            try_out=self.try_out,
        )

    async def try_out(self) -> None:
        """What an opening needs is there, unless a test says otherwise."""
        await trio.lowlevel.checkpoint()
        if self.lacks is not None:
            raise self.lacks

    async def init(self, shares: int = 3, threshold: int = 2) -> Initialised:
        """A new vault whose gate is served."""
        await self.nursery.start(self.gate.run_until_cancelled)
        return await self.gate.initialise(shares, threshold)

    async def opened(self) -> Initialised:
        """A new vault, unsealed."""
        made = await self.init()
        for share in made.shares[:2]:
            await self.gate.unseal(share)
        return made
