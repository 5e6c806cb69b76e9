"""The root key moves from each kind of seal to each other one, in one transaction."""

from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Final

import pytest
from trio.testing import wait_all_tasks_blocked

from tests.support.key_providers import MemoryKeyProvider
from tests.unit.vault.wrapped_vault import RECOVERY_KEY, ROOT_KEY, WrappedVault
from vault.errors import ConflictError, SetupError, TamperedError, UnavailableError, ValidationError
from vault.seal.configured_seal import SHARES, ConfiguredSeal, ConfiguredSeals
from vault.seal.manager import SEAL_ROW
from vault.seal.root_key_operations import ATTEMPT_TTL, RootKeyOperations
from vault.seal.root_keys.file import FileRootKey
from vault.seal.root_keys.provider import KeyProviderError
from vault.seal.seal_record import check_recovery_key

KINDS: Final = ("shamir", "file", "one", "several")
DOWN: Final = KeyProviderError("key_provider_unreachable", "connect it")


class Site:
    """A vault of one kind, and what the others are made of."""

    def __init__(self, folder: Path, source: str, target: str) -> None:
        self.old = [MemoryKeyProvider(name=f"old{n}") for n in range(_count(source))]
        self.new = [MemoryKeyProvider(name=f"new{n}") for n in range(_count(target))]
        self.vault = WrappedVault(*self.old)
        self.file = FileRootKey(folder / "root.key")
        if source == "file":
            self.file.path.touch(mode=0o600)
            self.file.path.write_bytes(ROOT_KEY)
        self.source, self.target = self._seal(source, self.old), self._seal(target, self.new)
        self.seals = ConfiguredSeals(self.target, self.source)
        self.share = RECOVERY_KEY if self.old else ROOT_KEY

    def _seal(self, kind: str, providers: list[MemoryKeyProvider]) -> ConfiguredSeal:
        if kind == "file":
            return ConfiguredSeal(self.file)
        return self.vault.seal(*providers)

    async def begin(self) -> None:
        """The record says that it is a file's, where it is one."""
        if self.source.key_file is not None:
            record = await self.vault.record()
            await self.vault.put(SEAL_ROW, record.encode().replace(b"shamir", b"file"))

    async def root_key(self) -> bytes:
        """By the seal that the stored record says, without anybody's memory."""
        record = await self.vault.record()
        seal = self.seals.in_force(record)
        if seal.providers is not None:
            return await seal.providers.unwrap(record, lambda root_key: root_key)
        if seal.key_file is not None:
            named = (FileRootKey(seal.key_file.next_path), seal.key_file)
            found = [each.load() for each in named if each.path.exists()]
            (key,) = [each for each in found if await self.vault.opens(each)]
            return key
        return self.share


def _count(kind: str) -> int:
    return {"one": 1, "several": 2}.get(kind, 0)


@pytest.mark.parametrize(
    ("source", "target"), [*permutations(KINDS, 2), ("one", "one"), ("several", "several")]
)
async def test_every_direction(tmp_path: Path, source: str, target: str) -> None:
    """The shares stay with those who have them; what opened the vault before opens it no more."""
    site = Site(tmp_path, source, target)
    vault = site.vault
    async with vault.unsealed(site.seals) as operations:
        await site.begin()
        before = await operations.migration_status()
        assert (before.pending, before.source, before.target) == (
            True, (await vault.record()).type, site.target.type,
        )  # fmt: skip
        done = await operations.submit_migration_share(site.share, "")
        assert (done.complete, done.pending, done.target) == (True, False, site.target.type)
        record = await vault.record()
        record.check(vault.barrier.root_key)
        assert (record.type, site.target.keeps(record)) == (site.target.type, True)
        opener = await site.root_key()
        assert await vault.opens(opener)
        assert vault.root_keys[-1] == vault.barrier.root_key == opener
        if (source, target) != ("file", "shamir"):  # whose share is what the file holds
            assert not await vault.opens(ROOT_KEY)
        if record.is_wrapped:
            check_recovery_key(record, site.share)
        assert not (await operations.migration_status()).pending
        with pytest.raises(ValidationError, match="no_seal_migration"):
            await operations.submit_migration_share(site.share, "")


@pytest.mark.parametrize(("source", "target"), [("shamir", "one"), ("one", "shamir")])
async def test_wrong_shares_move_nothing(tmp_path: Path, source: str, target: str) -> None:
    """Nor do those of another attempt, or none at all."""
    site = Site(tmp_path, source, target)
    async with site.vault.unsealed(site.seals) as operations:
        before = await site.vault.record()
        with pytest.raises(ValidationError, match="shares_wrong"):
            await operations.submit_migration_share(bytes(32), "")
        with pytest.raises(ValidationError, match="share_invalid"):
            await operations.submit_migration_share(b"", "")
        with pytest.raises(ValidationError, match="nonce_wrong"):
            await operations.submit_migration_share(site.share, "another")
        await operations.cancel_migration()
        with pytest.raises(ValidationError, match="no_attempt"):
            await operations.submit_migration_share(site.share, "another")
        assert await site.vault.record() == before
        assert await site.vault.opens(ROOT_KEY)


async def test_an_attempt_takes_an_hour_at_most(tmp_path: Path) -> None:
    """Shares are in memory meanwhile."""
    site = Site(tmp_path, "shamir", "one")
    async with site.vault.unsealed(site.seals) as operations:
        with pytest.raises(ValidationError):
            await operations.submit_migration_share(bytes(32), "")
        assert (await operations.migration_status()).nonce
        site.vault.world.advance(ATTEMPT_TTL / 1e9)
        await operations.expire_attempts()
        assert not (await operations.migration_status()).nonce


@pytest.mark.parametrize("target", ["one", "several", "file", "shamir"])
async def test_what_fails_leaves_the_former_seal_in_force(tmp_path: Path, target: str) -> None:
    """A provider that is away or broken, a key file in the way, a database that stores nothing."""
    source = "shamir" if target != "shamir" else "one"
    site = Site(tmp_path, source, target)
    vault = site.vault
    async with vault.unsealed(site.seals) as operations:
        faults: list[tuple[Callable[[], None], Callable[[], None], type[Exception]]] = [
            (lambda: setattr(vault.backend, "fails", True),
             lambda: setattr(vault.backend, "fails", False), UnavailableError),
        ]  # fmt: skip
        for each in site.new:
            faults.append((lambda each=each: setattr(each, "error", DOWN),  # type: ignore[misc]
                           lambda each=each: setattr(each, "error", None), KeyProviderError))  # type: ignore[misc]  # fmt: skip
            faults.append((lambda each=each: setattr(each, "garbage", b"junk"),  # type: ignore[misc]
                           lambda each=each: setattr(each, "garbage", None), KeyProviderError))  # type: ignore[misc]  # fmt: skip
        if target == "file":
            faults.append((lambda: site.file.path.write_bytes(b"of backups"),
                           site.file.path.unlink, SetupError))  # fmt: skip
        before = await vault.record()
        for plant, mend, expected in faults:
            plant()
            with pytest.raises(expected):
                await operations.submit_migration_share(site.share, "")
            mend()
            await wait_all_tasks_blocked()
            vault.world.advance(1)  # the store's writer is started again
            assert await vault.record() == before
            assert await vault.opens(vault.barrier.root_key)
            assert vault.root_keys == [ROOT_KEY]
            assert not site.file.next_path.exists()
        assert (await operations.submit_migration_share(site.share, "")).complete


async def test_the_key_file_of_a_migration_that_was_cut_is_tried_under_either_name(
    tmp_path: Path,
) -> None:
    """The record is stored, the file has not got its name: the next start gives it."""

    class Unnamed(FileRootKey):
        def activate_next(self) -> None:
            raise AssertionError("cut here")

    site = Site(tmp_path, "one", "file")
    seals = ConfiguredSeals(ConfiguredSeal(Unnamed(site.file.path)), site.source)
    async with site.vault.unsealed(seals) as operations:
        with pytest.raises(AssertionError, match="cut here"):
            await operations.submit_migration_share(site.share, "")
        assert not site.file.path.exists()
        assert await site.vault.opens(await site.root_key())


async def test_two_migrations_at_once(tmp_path: Path) -> None:
    """On two agents: one is done, the other finds its seal changed, and reopens by the new one."""
    site = Site(tmp_path, "one", "several")
    vault = site.vault
    async with vault.unsealed(site.seals) as first:
        second = vault.operations("n2", site.seals)
        wrap = site.new[1].wrap

        async def wrap_late(*args: bytes) -> object:
            site.new[1].wrap = wrap  # type: ignore[method-assign]
            await second.submit_migration_share(site.share, "")
            return await wrap(*args)

        site.new[1].wrap = wrap_late  # type: ignore[method-assign,assignment]
        with pytest.raises(ConflictError, match="seal_changed"):
            await first.submit_migration_share(site.share, "")
        record = await vault.record()
        record.check(vault.barrier.root_key)
        assert await vault.opens(await site.root_key())
        assert record.wrappings[0].nodes == ("n2",)


async def test_a_record_that_somebody_else_wrote_is_not_migrated(tmp_path: Path) -> None:
    """Else a recovery key of one's own would be the next root key."""
    site = Site(tmp_path, "one", "shamir")
    vault = site.vault
    async with vault.unsealed(site.seals) as operations:
        record = await vault.record()
        await vault.put(SEAL_ROW, record.with_wrappings(()).encode())
        with pytest.raises((TamperedError, ValidationError)):
            await operations.submit_migration_share(bytes(32), "")
        assert await vault.opens(ROOT_KEY)


async def test_recovery_shares_that_are_replaced_end_a_migration(tmp_path: Path) -> None:
    """Those that were offered prove nothing any more."""
    site = Site(tmp_path, "one", "shamir")
    async with site.vault.unsealed(site.seals) as operations:
        await _replace_recovery_key(operations, shares=2)
        with pytest.raises(ValidationError, match="share_invalid"):
            await operations.submit_migration_share(RECOVERY_KEY, "")


async def _replace_recovery_key(operations: RootKeyOperations, shares: int) -> None:
    begun = await operations.start_rekey(shares, shares, require_verification=False, recovery=True)
    await operations.submit_rekey_share(RECOVERY_KEY, begun.nonce)
    await operations.commit_rekey(begun.nonce)


async def test_nothing_is_migrated_without_another_seal(tmp_path: Path) -> None:
    """Nor from providers that nobody named."""
    vault = WrappedVault(MemoryKeyProvider())
    async with vault.unsealed() as operations:
        assert not (await operations.migration_status()).pending
        with pytest.raises(ValidationError, match="no_seal_migration"):
            await operations.submit_migration_share(RECOVERY_KEY, "")
        assert SHARES.opens_alone is False
        unnamed = vault.operations("n1", ConfiguredSeals(SHARES))
        with pytest.raises(UnavailableError, match="seal_mismatch"):
            await unnamed.rotate_wrapping()
