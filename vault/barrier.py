"""The barrier: seal, then store; load, then open. The only access to keys.

Whatever lies below it (database, disk, cache) is untrusted: values are ciphertext bound to their
place, authority rows carry a MAC, list cursors are sealed. Handlers above see rows and plaintext
and never a key.
"""

from collections.abc import Callable
from functools import partial
from hmac import compare_digest
from typing import Final, TypeVar

import msgspec
import trio
from msgspec.structs import replace

from actors.world import World
from vault.crypto import aead
from vault.crypto.data_key_cache import DataKeyCache, capacity_for
from vault.crypto.encoding import length_prefixer
from vault.crypto.envelope import open_value_box, rewrap_value, seal_value, unwrap_value_key
from vault.crypto.errors import CounterClosed, CryptoError, RetiredGeneration
from vault.crypto.hmac import HmacKey
from vault.crypto.kek_uses import HARD_STOP, MAX_AGE, KekUseCounter, ReservationNeeded
from vault.crypto.keyring import Keyring
from vault.crypto.sealed_value import SealedBox, SealedValue, ValuePlace, WrappedDek
from vault.errors import (
    ConflictError,
    TamperedError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.model.health import CacheState, KeyringState
from vault.model.link_ports import KekState
from vault.model.records import SystemRow, VersionRow
from vault.store.interface import UNKNOWN
from vault.store.row_cache import MISSING
from vault.store.store import Store
from vault.store.tables import ALL, SYSTEM, VERSIONS
from vault.store.timed_lock import TimedLock
from vault.store.transaction import StoreTx

R = TypeVar("R", bound=msgspec.Struct)
T = TypeVar("T")

MAX_VALUE_LOADS: Final = 16
"""Values that are loaded from the database at a time: until one is there, nobody knows its size."""
COUNT_SECONDS: Final = 5.0  # that a stop waits for the store; longer is as after a crash
KEYRING_ROW: Final = "keyring"
VALUE_FIELD: Final = "value"
_ROW_LABEL: Final = b"freehold-row-v1"
_CURSOR_LABEL: Final = b"freehold-cursor-v1"
_encode_row = msgspec.msgpack.Encoder(order="deterministic").encode


class HmacRowGuard:
    """Stamps authority rows with an HMAC over table, key and all columns, and checks it.

    A table without a `mac` column is not an authority and passes through.
    """

    def __init__(self, keyring: Keyring) -> None:
        scope = [_ROW_LABEL, keyring.org.encode(), keyring.vault.encode()]
        self._tag = HmacKey(keyring.row_mac).tag
        self._contents = {t.name: length_prefixer([*scope, t.name.encode()]) for t in ALL}

    def stamp(self, table: str, row: R) -> R:
        """The row with its MAC."""
        return replace(row, mac=self._mac(table, row))

    def check(self, table: str, row: msgspec.Struct) -> None:
        """Raises `TamperedError` when the row was not written by this vault as it stands."""
        mac: bytes = row.mac  # type: ignore[attr-defined]  # guarded rows have one: Table.guarded
        if not compare_digest(self._mac(table, row), mac):
            raise TamperedError(
                "row_tampered",
                f"a row of table {table} fails its authentication and is refused; "
                "restore it from a backup and look for who wrote to the database",
                table=table,
            )

    def _mac(self, table: str, row: msgspec.Struct) -> bytes:
        bare = replace(row, mac=b"") if row.mac else row  # type: ignore[attr-defined]  # as above
        return self._tag(self._contents[table](_encode_row(bare)))


class VaultTx:
    """A store transaction that can also seal and open values."""

    def __init__(self, tx: StoreTx, keyring: Keyring, counter: "EncryptionCounter") -> None:
        self._keyring = keyring
        self._counter = counter
        self.get = tx.get
        self.get_many = tx.get_many
        self.put = tx.put
        self.insert_new = tx.insert_new
        self.add_counts = tx.add_counts
        self.delete = tx.delete
        self.select = tx.select

    def seal(self, secret_id: str, version: int, plaintext: bytes) -> tuple[bytes, bytes, int]:
        """`(wrapped_dek, box, kek_generation)` for a `VersionRow`."""
        keyring = self._keyring
        self._counter.count_one()
        sealed = seal_value(
            keyring.kek(keyring.active), _place(keyring, secret_id, version), plaintext
        )
        return sealed.dek.to_bytes(), sealed.box.to_bytes(), sealed.generation

    def open_value(self, row: VersionRow) -> bytes:
        """The plaintext of a version. Raises `TamperedError`."""
        return _open(self._keyring, row, DataKeyCache(1))

    def rewrap(self, row: VersionRow) -> VersionRow:
        """The version with its DEK under the active KEK; the ciphertext is not touched."""
        keyring = self._keyring
        self._counter.count_one()
        place = _place(keyring, row.secret_id, row.version)
        try:
            sealed = SealedValue.from_parts(row.wrapped_dek, row.box)
            new = rewrap_value(
                keyring.kek(sealed.generation), keyring.kek(keyring.active), place, sealed
            )
        except CryptoError:
            raise _value_tampered_error() from None
        return replace(row, wrapped_dek=new.dek.to_bytes(), kek_generation=new.generation)


class Barrier:
    """One open vault: its keyring over its store. Exists only while the agent is unsealed."""

    def __init__(
        self,
        store: Store,
        keyring: Keyring,
        root_key: bytes,
        world: World,
        *,
        rotation_interval: int = MAX_AGE,
    ) -> None:
        """`rotation_interval` in ns: the age at which the KEK should be rotated."""
        self._rotation_interval = rotation_interval
        self._store = store
        self._keyring = keyring
        self._root_key = root_key
        self._min_generation = 0  # the generation below which nothing is sealed any more
        self._next_root_key = b""  # while it is being stored that another one wraps the keyring
        self._world = world
        self._uses = KekUseCounter(keyring.active, keyring.generations[-1].created_at)
        self._data_keys = DataKeyCache(
            capacity_for(store.statistics().cache.max_bytes)
        )  # this keyring's
        self.get_cached = store.get_cached
        self.get_cached_snapshot = store.get_cached_snapshot
        self.get = store.get
        self.select = store.select
        self.select_all = store.select_all
        self.select_checked_keys = store.select_checked_keys
        self.load_into_cache = store.load_into_cache
        self.count_transactions = store.count_transactions
        self._rotation_lock = TimedLock()
        self._loading = trio.Semaphore(MAX_VALUE_LOADS)
        self._seen = store.count_transactions(SYSTEM, KEYRING_ROW)

    async def load_use_counter(self) -> None:
        """Load the use counter. Raises `UnavailableError` when the store does."""
        self._uses = await self._load_use_counter(self._keyring)

    async def transact(self, change: Callable[[VaultTx], T], *, max_encryptions: int = 0) -> T:
        """Run `change` in a transaction and return its result once it is durable.

        `max_encryptions`: how often the change seals or rewraps at most. KEK uses are counted, and
        their reservation is durable, before any of them happens.
        """
        if self.is_stale:
            await self.refresh()
        keyring, uses = self._keyring, self._uses
        while max_encryptions and (needed := _reserve_uses(uses, max_encryptions)) is not None:
            await self._store.commit(partial(_store_reservation, needed=needed))
            uses.confirm_reservation(needed)
        counter = EncryptionCounter(uses, max_encryptions)
        return await self._store.commit(partial(self._run_change, change, keyring, counter))

    def _run_change(
        self,
        change: Callable[[VaultTx], T],
        keyring: Keyring,
        counter: "EncryptionCounter",
        tx: StoreTx,
    ) -> T:
        if (
            keyring.active < self._min_generation
        ):  # it was begun before a rotation, and waited too long
            raise UnavailableError(
                "keyring_changed", "the keyring was rotated meanwhile; try again", outcome="none"
            )
        return change(VaultTx(tx, keyring, counter))

    async def get_version(self, secret_id: str, number: int) -> VersionRow | None:
        """A version with its sealed value, from the cache or the database. Raises as `Store.get`.

        Of those that are not cached no more than `MAX_VALUE_LOADS` are loaded at a time. The caller
        reserves memory for it before its next checkpoint, or lets go of it.
        """
        row = self.get_cached(VERSIONS, secret_id, number)
        if row is not MISSING:
            return row
        async with self._loading:
            return await self.get(VERSIONS, secret_id, number)

    def open_value(self, row: VersionRow) -> bytes:
        """The plaintext of a version. Raises `TamperedError`."""
        return _open(self._keyring, row, self._data_keys)

    def seal_cursor(self, position: str) -> str:
        """An opaque list cursor: it may stand on a name that the caller is not allowed to see."""
        return aead.seal(self._keyring.cursor, position.encode(), _CURSOR_LABEL).hex()

    def open_cursor(self, cursor: str) -> str:
        """The position in a cursor of this vault. Raises `ValidationError` for any other text."""
        try:
            return aead.open_(self._keyring.cursor, bytes.fromhex(cursor), _CURSOR_LABEL).decode()
        except (ValueError, CryptoError):
            raise ValidationError(
                "cursor_invalid", "the cursor is not one of this vault; start over", field="cursor"
            ) from None

    @property
    def rotation_due(self) -> bool:
        """Whether the KEK has reached its age or its number of uses."""
        now = self._world.now()
        age = now - self._keyring.generations[-1].created_at
        return self._uses.rotation_due(now) or age >= self._rotation_interval

    @property
    def key_state(self) -> KekState:
        """The key state that is reported to the control plane."""
        return KekState(self._keyring.active - 1, self.rotation_due)

    @property
    def active_generation(self) -> int:
        """The KEK generation that seals now."""
        return self._keyring.active

    @property
    def oldest_generation(self) -> int:
        """The oldest KEK generation that is not retired."""
        states = enumerate(self._keyring.generations, 1)
        return next(number for number, one in states if one.kek is not None)

    @property
    def epoch(self) -> int:
        """The keyring's: it grows by each change."""
        return self._keyring.epoch

    @property
    def keyring_state(self) -> KeyringState:
        """What may be shown of the keyring."""
        return KeyringState(
            epoch=self._keyring.epoch,
            generation=self._keyring.active,
            oldest_generation=self.oldest_generation,
            created_at=self._keyring.generations[-1].created_at,
            uses=self._uses.used,
            reserved_uses=self._uses.reserved,
            rotation_due=self.rotation_due,
        )

    @property
    def cache_state(self) -> CacheState:
        """What may be shown of the cache of sealed rows."""
        cache = self._store.statistics().cache
        return CacheState(
            eviction_policy=cache.policy.value,
            ttl=cache.ttl,
            max_bytes=cache.max_bytes,
            bytes=cache.bytes,
            entries=cache.entries,
            hits=cache.hits,
            misses=cache.misses,
            evictions=cache.evictions,
            hit_rate=cache.hit_rate,
        )

    @property
    def is_stale(self) -> bool:
        """Whether a transaction of the keyring has ended that this one may not have.

        A rotation that was reported as timed out may be stored long after.
        """
        return self._store.count_transactions(SYSTEM, KEYRING_ROW) > self._seen

    async def refresh(self) -> None:
        """Go on with the keyring that is stored. Raises as `Store.get`, or `TamperedError`."""
        seen = self._store.count_transactions(SYSTEM, KEYRING_ROW)
        row = await self._store.get(SYSTEM, KEYRING_ROW)
        if row is not None:
            keyring = self._decode_keyring(row)
            self._install_if_newer(keyring, await self._load_use_counter(keyring))
        self._seen = max(self._seen, seen)

    async def rotate(self) -> int:
        """Make a new KEK generation, durably, and seal with it from now on. Returns its number.

        Raises `ConflictError` (`keyring_changed`) when an earlier rotation, whose outcome was not
        known, is stored meanwhile: overwriting its generation would lose what it has sealed.
        """
        async with self._rotation_lock.hold():
            if self.is_stale:
                await self.refresh()
            before = self._keyring
            keyring = before.rotate(self._world.now())
            await self._store_keyring(keyring, before)
            self._install_if_newer(
                keyring, KekUseCounter(keyring.active, keyring.generations[-1].created_at)
            )
            return keyring.active

    async def drain_older_generations(self) -> None:
        """On return no transaction seals under an older generation any more, nor is one under way.

        One that was begun before a rotation may still seal with the key of before it.
        """
        self._min_generation = self._keyring.active
        await self._store.commit(lambda _: None)  # behind whatever was begun before

    async def retire_older_generations(self, active: int) -> list[int]:
        """Drop the KEKs below the active generation, durably; returns which.

        Only after `drain_older_generations` and a look at every version: what is under them is
        lost. Raises as `rotate`, and `ConflictError` where `active` is not the active one any more.
        """
        async with self._rotation_lock.hold():
            if self.is_stale:
                await self.refresh()
            before = keyring = self._keyring
            if active != before.active or self._min_generation != active:
                raise ConflictError("keyring_changed", "the keyring was rotated meanwhile")
            held = [n for n in range(1, active) if before.generations[n - 1].kek is not None]
            for generation in held:
                keyring = keyring.retire(generation)
            if held:
                await self._store_keyring(keyring, before)
                self._install_if_newer(keyring, self._uses)
            return held

    async def _store_keyring(self, keyring: Keyring, before: Keyring) -> None:
        """Store a keyring in the place of the one before. Raises as `rotate`."""
        row = SystemRow(name=KEYRING_ROW, value=keyring.encode(self._root_key))

        def change(tx: StoreTx) -> None:
            stored = tx.get(SYSTEM, KEYRING_ROW)
            if stored is not None and self._decode_keyring(stored).epoch > before.epoch:
                raise ConflictError("keyring_changed", "the keyring was rotated meanwhile")
            tx.put(SYSTEM, row)

        await self._store.commit(change)

    async def rekey(self, root_key: bytes, seal_row: SystemRow) -> int:
        """Wrap the keyring with another root key, durably, together with how that is shared.

        Returns the epoch: the keyring as it was wrapped before is recognisably old from now on.
        Raises as `rotate`. When it is not known whether it was stored, both keys are tried.
        """
        async with self._rotation_lock.hold():
            if self.is_stale:
                await self.refresh()
            before = self._keyring
            keyring = before.at_epoch(before.epoch + 1)
            row = SystemRow(name=KEYRING_ROW, value=keyring.encode(root_key))

            def change(tx: StoreTx) -> None:
                stored = tx.get(SYSTEM, KEYRING_ROW)
                if stored is not None and self._decode_keyring(stored).epoch > before.epoch:
                    raise ConflictError("keyring_changed", "the keyring was changed meanwhile")
                tx.put(SYSTEM, row)
                tx.put(SYSTEM, seal_row)

            self._next_root_key = root_key
            try:
                await self._store.commit(change)
            except VaultError as error:
                if error.details.get("outcome") != UNKNOWN:
                    self._next_root_key = b""
                raise
            self._root_key, self._next_root_key = root_key, b""
            self._install_if_newer(keyring, self._uses)
            return keyring.epoch

    @property
    def root_key(self) -> bytes:
        """The one that wraps the keyring."""
        return self._root_key

    def is_root_key(self, key: bytes) -> bool:
        """Whether this one wraps the keyring; compared in constant time."""
        return compare_digest(key, self._root_key)

    def _install_if_newer(self, keyring: Keyring, uses: KekUseCounter) -> None:
        """Seal with this one, unless it or a newer one is there."""
        if keyring.epoch > self._keyring.epoch:
            self.replace_keyring(keyring)
            self._uses = uses

    def _decode_keyring(self, row: SystemRow) -> Keyring:
        org, vault = self._keyring.org, self._keyring.vault
        for root_key in filter(None, (self._root_key, self._next_root_key)):
            try:
                return Keyring.decode(root_key, row.value, org=org, vault=vault)
            except CryptoError:
                continue
        raise TamperedError(
            "keyring_tampered", "the stored keyring is not this vault's; restore a backup"
        )

    async def store_use_count(self) -> None:
        """Store how many key uses there were, fewer or more than reserved; nothing seals any more.

        Raises as `Store.commit`: then all that is reserved counts as used, as after a crash.
        """
        uses = self._uses
        if uses.close() != uses.reserved:
            await self._store.commit(partial(_store_use_count, uses=uses), deadline=COUNT_SECONDS)

    def clear_data_keys(self) -> None:
        """Drop the data keys: nothing is to be opened any more."""
        self._data_keys.clear()

    def replace_keyring(self, keyring: Keyring) -> None:
        """Go on with this vault's keyring as another process has changed it."""
        self._keyring = keyring
        self._data_keys.clear()

    async def _load_use_counter(self, keyring: Keyring) -> KekUseCounter:
        """What is stored of the uses of its active generation; all that is reserved is used."""
        row = await self._store.get(SYSTEM, _uses_row(keyring.active))
        reserved = int.from_bytes(row.value) if row is not None else 0
        return KekUseCounter(keyring.active, keyring.generations[-1].created_at, reserved)


class EncryptionCounter:
    """Counts what a batch encrypts over all attempts: one that is run again encrypts again."""

    __slots__ = ("_count", "_reserved", "_uses")

    def __init__(self, uses: KekUseCounter, reserved: int) -> None:
        """`reserved` uses were reserved before."""
        self._uses = uses
        self._reserved = reserved
        self._count = 0

    def count_one(self) -> None:
        """Count one encryption before it happens.

        Uses beyond the reservation are added to the next one (`KekUseCounter.add_owed_uses`).
        Raises `UnavailableError` (`sealed`) once the counter is closed.
        """
        self._count += 1
        if self._count > self._reserved:
            try:
                self._uses.add_owed_uses(1)
            except CounterClosed:
                raise _closed() from None


def _reserve_uses(uses: KekUseCounter, count: int) -> ReservationNeeded | None:
    """As `KekUseCounter.reserve_uses`. Raises `UnavailableError` once the count is final."""
    try:
        return uses.reserve_uses(count)
    except CounterClosed:
        raise _closed() from None


def _closed() -> UnavailableError:
    return UnavailableError("sealed", "Vault is sealed", outcome="none")


def _store_reservation(tx: StoreTx, needed: ReservationNeeded) -> None:
    """Store a reservation of KEK uses; one that comes late never lowers what is stored."""
    name = _uses_row(needed.generation)
    stored = tx.get(SYSTEM, name)
    reserved = max(needed.reserved, int.from_bytes(stored.value) if stored else 0)
    tx.put(SYSTEM, SystemRow(name=name, value=reserved.to_bytes(8)))


def _store_use_count(tx: StoreTx, uses: KekUseCounter) -> None:
    """Store the exact count for the reservation.

    Transactions are one at a time: what sealed before this one is counted, and whatever comes after
    it is refused. A larger reservation that somebody else has stored stays.
    """
    used, name = uses.close(), _uses_row(uses.generation)
    stored = tx.get(SYSTEM, name)
    if stored is not None and int.from_bytes(stored.value) == uses.reserved:
        tx.put(SYSTEM, SystemRow(name=name, value=min(used, HARD_STOP).to_bytes(8)))


def _uses_row(generation: int) -> str:
    return f"kek-uses/{generation}"


def _place(keyring: Keyring, secret_id: str, version: int) -> ValuePlace:
    return ValuePlace(keyring.org, keyring.vault, secret_id, version, VALUE_FIELD)


def _open(keyring: Keyring, row: VersionRow, keys: DataKeyCache) -> bytes:
    try:
        place = _place(keyring, row.secret_id, row.version)
        box = SealedBox.from_bytes(row.box)
        origin = (row.wrapped_dek, box.commitment, row.secret_id, row.version)
        key = keys.get(origin)
        if key is None:
            dek = WrappedDek.from_bytes(row.wrapped_dek)
            key = unwrap_value_key(keyring.kek(dek.generation), place, SealedValue(dek, box))
            keys.put(origin, key)
        return open_value_box(key, place, box)
    except RetiredGeneration:
        raise UnavailableError(
            "key_retired", "the key-encryption key of this value is retired; restore a backup"
        ) from None
    except CryptoError:
        raise _value_tampered_error() from None


def _value_tampered_error() -> TamperedError:
    return TamperedError(
        "value_tampered",
        "the stored value fails its authentication and is refused; "
        "restore it from a backup and look for who wrote to the database",
    )
