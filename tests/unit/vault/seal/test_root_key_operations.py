"""The root key as people act on it: what ends an attempt, and what a failing store leaves."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from trio.testing import wait_all_tasks_blocked

from actors.testing import FakeWorld
from vault.barrier import KEYRING_ROW, Barrier, HmacRowGuard
from vault.crypto.errors import CryptoError, KeyFileError
from vault.crypto.keyring import Keyring
from vault.errors import ConflictError, SetupError, UnavailableError, ValidationError
from vault.model.records import SystemRow
from vault.model.root_key import NewShares
from vault.seal.configured_seal import ConfiguredSeal, ConfiguredSeals
from vault.seal.manager import SEAL_ROW
from vault.seal.root_key_operations import ATTEMPT_TTL, TOKEN_LENGTH, RootKeyOperations, mask_token
from vault.seal.root_keys.file import FileRootKey
from vault.seal.root_keys.shares import SealConfig, split_root_key
from vault.seal.seal_record import SealRecord
from vault.store.interface import NOTHING_STORED, UNKNOWN, BackendError
from vault.store.memory import MemoryBackend
from vault.store.store import Store, open_store
from vault.store.tables import SYSTEM

ROOT_KEY = bytes(range(32))
CONFIG = SealConfig(3, 2)
TOKEN = "s." + "x" * (TOKEN_LENGTH - 2)


class Failing(MemoryBackend):
    """Fails as it is told: before it stores anything, or after it has."""

    outcome = ""

    def write(self, apply: Callable[..., Any]) -> None:
        """Store it, unless it is told otherwise."""
        if self.outcome != NOTHING_STORED:
            super().write(apply)
        if self.outcome:
            raise BackendError("store_unavailable", "lost", self.outcome)


class Vault:
    """An open vault's root key, and what it has told the rest."""

    def __init__(self, key_file: FileRootKey | None) -> None:
        self.backend, self.world, self.key_file = Failing(), FakeWorld(), key_file
        self.shares = (ROOT_KEY,) if key_file else split_root_key(ROOT_KEY, CONFIG)
        self.keyring = Keyring.create(self.world.now(), org="o", vault="v")
        self.diary: list[str] = []
        self.told: list[bytes] = []
        self.rereads = True
        self.root_key: RootKeyOperations
        self.store: Store
        self.barrier: Barrier

    @asynccontextmanager
    async def unsealed(self) -> AsyncIterator[RootKeyOperations]:
        """For the length of the block."""
        config = SealConfig(1, 1) if self.key_file else CONFIG
        record = SealRecord(
            type="file" if self.key_file else "shamir", shares=config.shares,
            threshold=config.threshold, org="o", vault="v", created_at=1,
        )  # fmt: skip
        rows = (
            SystemRow(name=SEAL_ROW, value=msgspec.json.encode(record)),
            SystemRow(name=KEYRING_ROW, value=self.keyring.encode(ROOT_KEY)),
        )
        async with open_store(self.backend, HmacRowGuard(self.keyring), self.world) as store:
            for row in rows:
                await store.commit(lambda tx, row=row: tx.put(SYSTEM, row))
            barrier = Barrier(store, self.keyring, ROOT_KEY, self.world)
            await barrier.load_use_counter()
            self.store, self.barrier = store, barrier
            yield RootKeyOperations(
                barrier, ConfiguredSeals(ConfiguredSeal(self.key_file)), self.world, node="n1",
                mint_root_token=self._mint, suspend_peers=self._others, on_rekeyed=self._rekeyed,
                request_reopening=lambda: self.diary.append("seal"),
            )  # fmt: skip

    async def _mint(self) -> str:
        self.diary.append("mint")
        return TOKEN

    @asynccontextmanager
    async def _others(self) -> AsyncIterator[Callable[[bytes, int], None]]:
        self.diary.append("shut")
        try:
            yield lambda key, _epoch: self.told.append(key)
        finally:
            self.diary.append("open")

    async def _rekeyed(self) -> None:
        if not self.rereads:
            raise UnavailableError("store_unavailable", "busy")
        self.diary.append("rekeyed")

    def wraps(self, root_key: bytes) -> bool:
        """Whether this root key opens the keyring that is stored."""
        with self.backend.read() as session:
            row = session.get(SYSTEM, (KEYRING_ROW,))
        assert row is not None
        try:
            Keyring.decode(root_key, row.value, org="o", vault="v")
        except CryptoError:
            return False
        return True


@pytest.fixture(params=["shamir", "file"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Vault:
    """With shares, and with a key file."""
    if request.param == "shamir":
        return Vault(None)
    (tmp_path / "root.key").write_bytes(ROOT_KEY)
    (tmp_path / "root.key").chmod(0o600)
    return Vault(FileRootKey(tmp_path / "root.key"))


async def rekey(vault: Vault, root_key: RootKeyOperations, *, verifies: bool = False) -> NewShares:
    """Up to the new shares."""
    begun = await root_key.start_rekey(1, 1, require_verification=verifies)
    found: object = None
    for share in vault.shares[:2]:
        found = await root_key.submit_rekey_share(share, begun.nonce)
    assert isinstance(found, NewShares)
    return found


async def test_a_root_key_that_another_agent_has_put_in_force(vault: Vault) -> None:
    """Nothing can be sealed or opened as it is now: the vault seals, and says what it takes."""
    async with vault.unsealed() as root_key:
        row = SystemRow(
            name=KEYRING_ROW, value=vault.keyring.at_epoch(2).encode(bytes(range(1, 33)))
        )
        seal = await vault.store.get(SYSTEM, SEAL_ROW)
        assert seal is not None
        await vault.store.commit(lambda tx: (tx.put(SYSTEM, row), tx.put(SYSTEM, seal)))
        await root_key.start_rekey(1, 1, require_verification=False)
        assert vault.diary == []
        with pytest.raises(UnavailableError, match="root_key_changed"):
            await vault.barrier.refresh()
        assert vault.diary == ["seal"]


async def test_an_attempt_ends_by_itself(vault: Vault) -> None:
    """An hour after it was begun its shares are forgotten, and another one can be begun."""
    async with vault.unsealed() as root_key:
        await root_key.start_generate_root("")
        await root_key.start_rekey(1, 1, require_verification=False)
        vault.world.advance(ATTEMPT_TTL / 1e9 - 1)
        await root_key.expire_attempts()
        with pytest.raises(ConflictError):
            await root_key.start_generate_root("")
        vault.world.advance(1)
        await root_key.expire_attempts()
        assert not (await root_key.generate_root_status()).started
        assert not (await root_key.rekey_status()).started
        await root_key.start_generate_root("")


async def test_a_token_is_masked_with_what_was_agreed(vault: Vault) -> None:
    """By who began it or by us: as long as the token, and never told twice."""
    async with vault.unsealed() as root_key:
        own = "k" * TOKEN_LENGTH
        for otp in (own, ""):
            begun = await root_key.start_generate_root(otp)
            assert len(begun.otp) == (0 if otp else TOKEN_LENGTH)
            assert (await root_key.generate_root_status()).otp == ""
            for share in vault.shares[: begun.required]:
                done = await root_key.submit_generate_root_share(share, begun.nonce)
            assert done.encoded_token == mask_token(TOKEN, otp or begun.otp)
        assert vault.diary == ["mint", "mint"]


async def test_another_root_key_is_in_force_everywhere_or_nowhere(vault: Vault) -> None:
    """The others have no keys meanwhile; the file has the new one once the database has."""
    async with vault.unsealed() as root_key:
        new = await rekey(vault, root_key)
        assert vault.wraps(ROOT_KEY)
        await root_key.commit_rekey(new.nonce)
    assert vault.diary == ["shut", "open", "rekeyed"]
    assert not vault.wraps(ROOT_KEY)
    assert vault.wraps(vault.told[0])
    if vault.key_file is None:
        assert vault.told == list(new.shares)
    else:
        assert new.shares == ()
        assert vault.key_file.load() == vault.told[0]
        assert not vault.key_file.next_path.exists()


async def test_a_store_that_fails_leaves_the_old_one_in_force(vault: Vault) -> None:
    """The old shares are offered again, for new shares that nobody has seen."""
    async with vault.unsealed() as root_key:
        new = await rekey(vault, root_key)
        vault.backend.outcome = NOTHING_STORED
        with pytest.raises(UnavailableError):
            await root_key.commit_rekey(new.nonce)
        vault.backend.outcome = ""
        await wait_all_tasks_blocked()
        vault.world.advance(1)  # the store's writer begins again
        assert vault.wraps(ROOT_KEY)
        assert (vault.told, vault.diary) == ([], ["shut", "open"])
        if vault.key_file is not None:
            assert vault.key_file.load() == ROOT_KEY
            assert not vault.key_file.next_path.exists()
        for share in vault.shares[:2]:
            await root_key.submit_rekey_share(share, new.nonce)
        await root_key.commit_rekey(new.nonce)
        assert not vault.wraps(ROOT_KEY)


async def test_in_doubt_the_vault_is_sealed_and_no_key_is_lost(vault: Vault) -> None:
    """Whoever has both sets opens it; a start with a key file tries both keys."""
    async with vault.unsealed() as root_key:
        new = await rekey(vault, root_key)
        vault.backend.outcome = UNKNOWN
        with pytest.raises(UnavailableError) as told:
            await root_key.commit_rekey(new.nonce)
        assert told.value.details["outcome"] == UNKNOWN
        assert "seal" in vault.diary
        vault.backend.outcome = ""
    if vault.key_file is None:
        assert vault.wraps(new.shares[0])
    else:
        assert vault.wraps(vault.key_file.next_path.read_bytes())
        assert vault.key_file.load() == ROOT_KEY


class Unrenamed(FileRootKey):
    """A file that cannot be replaced, such as one that is mounted by itself."""

    def activate_next(self) -> None:
        """Refuse it, as the kernel does."""
        raise KeyFileError(f"the key in force is in {self.next_path}")


@pytest.mark.parametrize("copied", [False, True])
async def test_the_only_copy_of_the_key_in_force_is_never_removed(
    tmp_path: Path, *, copied: bool
) -> None:
    """A file that cannot be renamed is told, and no other rekey begins before it is mended."""
    file = tmp_path / "root.key"
    file.write_bytes(ROOT_KEY)
    file.chmod(0o600)
    vault = Vault(Unrenamed(file))
    async with vault.unsealed() as root_key:
        done = await root_key.commit_rekey((await rekey(vault, root_key)).nonce)
        assert f"the key in force is in {file}.next" in done.warning
        kept = (tmp_path / "root.key.next").read_bytes()
        assert vault.wraps(kept)
        if copied:
            file.write_bytes(kept)
        vault.shares = (kept,)
        new = await rekey(vault, root_key)
        if copied:
            assert (await root_key.commit_rekey(new.nonce)).warning
            assert vault.wraps((tmp_path / "root.key.next").read_bytes())
        else:
            with pytest.raises(SetupError, match="the key in force is in"):
                await root_key.commit_rekey(new.nonce)
            assert (tmp_path / "root.key.next").read_bytes() == kept
            assert vault.wraps(kept)


async def test_a_rekey_begins_only_where_the_next_key_file_can_be_written(tmp_path: Path) -> None:
    """Before anybody offers the key in force; what is wrong is said with its remedy."""

    class Locked(FileRootKey):
        def require_folder(self) -> None:
            raise KeyFileError("cannot write in its folder")

    file = Locked(tmp_path / "root.key")
    file.path.write_bytes(ROOT_KEY)
    file.path.chmod(0o600)
    async with Vault(file).unsealed() as root_key:
        with pytest.raises(SetupError, match="cannot write in its folder"):
            await root_key.start_rekey(1, 1, require_verification=False)
        assert not (await root_key.rekey_status()).started


async def test_a_state_that_cannot_be_read_again_takes_nobodys_shares(vault: Vault) -> None:
    """What is in force is told as such: whoever hears otherwise throws the new shares away."""
    async with vault.unsealed() as root_key:
        new = await rekey(vault, root_key)
        vault.rereads = False
        assert not (await root_key.commit_rekey(new.nonce)).warning
        assert vault.wraps(vault.told[0])
        assert not (await root_key.rekey_status()).started


async def test_what_has_to_be_verified_is_not_committed_otherwise(tmp_path: Path) -> None:
    """And a file is not verified: it is where it was written."""
    vault = Vault(None)
    async with vault.unsealed() as root_key:
        new = await rekey(vault, root_key, verifies=True)
        with pytest.raises(ValidationError, match="rekey_incomplete"):
            await root_key.commit_rekey(new.nonce)
        assert vault.wraps(ROOT_KEY)
        assert (
            await root_key.submit_verification_share(new.shares[0], new.verification_nonce)
        ).complete
        assert vault.wraps(new.shares[0])
    file = tmp_path / "root.key"
    file.write_bytes(ROOT_KEY)
    file.chmod(0o600)
    async with Vault(FileRootKey(file)).unsealed() as root_key:
        assert not (
            await root_key.start_rekey(1, 1, require_verification=True)
        ).verification_required
        await root_key.cancel_rekey()
        with pytest.raises(ValidationError, match="1 share"):
            await root_key.start_rekey(5, 3, require_verification=False)
