"""The barrier: seal, then store; load, then open. The only access to keys.

Whatever lies below it (database, disk, cache) is untrusted: values are ciphertext bound to their
place, authority rows carry a MAC, list cursors are sealed. Handlers above see rows and plaintext
and never a key.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from hmac import compare_digest
from typing import Final, NamedTuple, TypeVar

import msgspec
import trio
from msgspec.structs import replace

from actors.world import World
from vault.crypto import aead
from vault.crypto.break_glass import BreakGlassRecord
from vault.crypto.data_key_cache import DataKeyCache, capacity_for
from vault.crypto.encoding import length_prefixer
from vault.crypto.envelope import open_value_box, rewrap_value, seal_value, unwrap_value_key
from vault.crypto.errors import CounterClosed, CryptoError, RetiredGeneration
from vault.crypto.hmac import HmacKey
from vault.crypto.kek_uses import MAX_AGE, BlockNeeded, KekUseCounter, UseBlock
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
from vault.store.row_cache import MISSING, CacheStats
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
SEAL_ROW: Final = "seal"
"""How the root key is shared, in the clear. A change of the root key stores it with the keyring."""
BREAK_GLASS_ROW: Final = "break_glass"
"""The root key as break-glass holders can unwrap it, readable while sealed."""
MAX_KEYRING_CHANGES: Final = 5  # by other processes, that one change is run again for
KEYRING_CHANGED: Final = "keyring_changed"
ROOT_KEY_CHANGED: Final = "root_key_changed"
VALUE_FIELD: Final = "value"
_ROW_LABEL: Final = b"freehold-row-v1"
_CURSOR_LABEL: Final = b"freehold-cursor-v1"
_TICKET_LABEL: Final = b"freehold-denial-ticket-v1"
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


class SealingKeys(NamedTuple):
    """A keyring, the row that it was stored as (None: none was seen), and the count of its uses."""

    keyring: Keyring
    row: bytes | None
    uses: KekUseCounter

    def __repr__(self) -> str:
        return f"SealingKeys({self.keyring!r})"


def _unstored_keys(keyring: Keyring) -> SealingKeys:
    return SealingKeys(
        keyring, None, KekUseCounter(keyring.active, keyring.generations[-1].created_at)
    )


class VaultTx:
    """A store transaction that can also seal and open values.

    Only with the keyring that is stored: another process may have changed it since it was read.
    """

    def __init__(
        self,
        tx: StoreTx,
        keys: SealingKeys,
        counter: "EncryptionCounter",
        changed_error: "Callable[[SealingKeys, SystemRow | None], VaultError]",
    ) -> None:
        """`changed_error` makes the error for a stored keyring that is not the one of `keys`."""
        self.rows = tx
        """What it is made over, for rules that take one."""
        self._tx = tx
        self._keys = keys
        self._counter = counter
        self._changed_error = changed_error
        self.get = tx.get
        self.get_many = tx.get_many
        self.put = tx.put
        self.insert_new = tx.insert_new
        self.add_counts = tx.add_counts
        self.delete = tx.delete
        self.select = tx.select

    def seal(self, secret_id: str, version: int, plaintext: bytes) -> tuple[bytes, bytes, int]:
        """`(wrapped_dek, box, kek_generation)` for a `VersionRow`.

        As the other two it raises `UnavailableError` (`keyring_changed`), for which the barrier
        runs the change again.
        """
        keyring = self._current_keyring()
        self._counter.count_one()
        sealed = seal_value(
            keyring.kek(keyring.active), _place(keyring, secret_id, version), plaintext
        )
        return sealed.dek.to_bytes(), sealed.box.to_bytes(), sealed.generation

    def open_value(self, row: VersionRow) -> bytes:
        """The plaintext of a version. Raises `TamperedError`."""
        return open_stored_value(self._current_keyring(), row)

    def rewrap(self, row: VersionRow) -> VersionRow:
        """The version with its DEK under the active KEK; the ciphertext is not touched."""
        keyring = self._current_keyring()
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

    def _current_keyring(self) -> Keyring:
        stored = self._tx.get(SYSTEM, KEYRING_ROW)
        if (None if stored is None else stored.value) != self._keys.row:  # not secret: sealed
            raise self._changed_error(self._keys, stored)
        return self._keys.keyring


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
        self._keys = _unstored_keys(keyring)  # replaced whole: other threads read it
        self._root_key = root_key
        self._next_root_key = b""  # while it is being stored that another one wraps the keyring
        self._world = world
        self.on_root_key_changed: Callable[[], object] = object
        """Called when another process has changed the root key: nothing can be followed then."""
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
        self.has_row = store.has_row
        self.other_caches: Callable[[], list[CacheStats]] = list
        """Of the other processes of this agent."""
        self.count_transactions = store.count_transactions
        self._rotation_lock = TimedLock()
        self._allocating = TimedLock()
        self._loading = trio.Semaphore(MAX_VALUE_LOADS)
        self._seen = store.count_transactions(SYSTEM, KEYRING_ROW)
        self._seal_seen = store.count_transactions(SYSTEM, SEAL_ROW)
        self._is_stopped = False  # no key is used any more, so none is followed either

    async def load_use_counter(self) -> None:
        """Load the use counter, and the keyring as it is stored. Raises as `refresh`."""
        uses = await self._load_use_counter(self._keyring)
        self._keys = self._keys._replace(uses=uses)
        await self.refresh()

    async def transact(self, change: Callable[[VaultTx], T], *, max_encryptions: int = 0) -> T:
        """Run `change` in a transaction and return its result once it is durable.

        `max_encryptions`: how often the change seals or rewraps at most. KEK uses are counted, and
        their reservation is durable, before any of them happens. A change that finds another
        keyring in the database is run again with that one.
        """
        for _ in range(MAX_KEYRING_CHANGES):
            try:
                return await self._run_change(change, max_encryptions)
            except UnavailableError as error:
                if error.code != KEYRING_CHANGED:
                    raise
            await self.refresh()
        return await self._run_change(change, max_encryptions)

    async def _run_change(self, change: Callable[[VaultTx], T], max_encryptions: int) -> T:
        if self.is_stale:
            await self.refresh()
        keys = self._keys
        if max_encryptions:
            await self._reserve_uses(keys.uses, max_encryptions)
        counter = EncryptionCounter(keys.uses, max_encryptions)
        return await self._store.commit(
            lambda tx: change(VaultTx(tx, keys, counter, self._keyring_error))
        )

    async def _reserve_uses(self, uses: KekUseCounter, count: int) -> None:
        """Count so many uses; allocate a block for them first where that is needed, durably."""
        if _reserve_uses(uses, count) is None:
            return
        async with self._allocating.hold():  # one block for all who wait
            while (needed := _reserve_uses(uses, count)) is not None:
                uses.add_block(await self._store.commit(partial(_allocate_block, needed=needed)))

    def _keyring_error(self, keys: SealingKeys, stored: SystemRow | None) -> VaultError:
        """The error for a change whose transaction finds a keyring that is not the one of `keys`.

        The transaction is behind all that was stored before: an older one was put back.
        """
        if stored is None:
            return TamperedError(
                "keyring_tampered", "the stored keyring is gone; restore a backup of the database"
            )
        with suppress(VaultError):
            if self._decode_keyring(stored).epoch < keys.keyring.epoch:
                return TamperedError(
                    "keyring_tampered",
                    "an older keyring was put back into the database; restore a backup and look "
                    "for who wrote to it",
                )
        return UnavailableError(
            KEYRING_CHANGED, "the keyring was rotated meanwhile; try again", outcome="none"
        )

    async def get_version(self, secret_id: str, number: int) -> VersionRow | None:
        """A version with its sealed value, from the cache or the database. Raises as `Store.get`.

        Of those that are not cached no more than `MAX_VALUE_LOADS` are loaded at a time. The caller
        reserves memory for it before its next checkpoint, or lets go of it. Another process may
        have rotated the key after the request began: a version of a key that is not at hand is
        looked up once more, with the keyring that is stored.
        """
        row = await self._load_version(secret_id, number)
        if row is None or row.destroyed or self._keyring.holds(row.kek_generation):
            return row
        await self._store.catch_up()
        await self.refresh()
        return await self._load_version(secret_id, number)

    async def _load_version(self, secret_id: str, number: int) -> VersionRow | None:
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

    def seal_ticket(self, content: bytes) -> bytes:
        """What only this vault can read again: it tells whoever carries it nothing."""
        return aead.seal(self._keyring.cursor, content, _TICKET_LABEL)

    def open_ticket(self, ticket: bytes) -> bytes:
        """What was sealed. Raises `ValidationError` for anything else."""
        try:
            return aead.open_(self._keyring.cursor, ticket, _TICKET_LABEL)
        except CryptoError:
            raise ValidationError(
                "ticket_invalid", "this is no ticket of this vault", field="ticket"
            ) from None

    @property
    def rotation_due(self) -> bool:
        """Whether the KEK has reached its age or its number of uses."""
        now = self._world.now()
        age = now - self._keyring.generations[-1].created_at
        return self._keys.uses.rotation_due(now) or age >= self._rotation_interval

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
        keyring = self._keyring
        return next(number for number in range(1, keyring.active + 1) if keyring.holds(number))

    @property
    def epoch(self) -> int:
        """The keyring's: it grows by each change."""
        return self._keyring.epoch

    @property
    def keyring_state(self) -> KeyringState:
        """What may be shown of the keyring."""
        keyring, _, uses = self._keys
        return KeyringState(
            epoch=keyring.epoch,
            generation=keyring.active,
            oldest_generation=self.oldest_generation,
            created_at=keyring.generations[-1].created_at,
            uses=uses.used,
            reserved_uses=uses.reserved,
            rotation_due=self.rotation_due,
        )

    @property
    def cache_state(self) -> CacheState:
        """What may be shown of the cache of sealed rows."""
        cache = sum(self.other_caches(), self._store.statistics().cache)
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
        """Go on with the keyring that is stored.

        Raises as `Store.get`, `TamperedError`, and `UnavailableError` (`root_key_changed`) when
        another process has changed the root key.
        """
        if self._is_stopped:
            return
        seen = self._store.count_transactions(SYSTEM, KEYRING_ROW)
        seal_seen = self._store.count_transactions(SYSTEM, SEAL_ROW)
        row = await self._store.get(SYSTEM, KEYRING_ROW)
        if row is not None:
            await self._follow(row)
        self._seen, self._seal_seen = max(self._seen, seen), max(self._seal_seen, seal_seen)

    async def _follow(self, row: SystemRow) -> None:
        """Go on with a stored keyring, unless a newer one is there by now."""
        try:
            keyring = self._decode_keyring(row)
        except TamperedError:
            if self._store.count_transactions(SYSTEM, SEAL_ROW) > self._seal_seen:
                self.on_root_key_changed()
                raise _root_key_changed_error() from None
            raise
        uses = self._keys.uses
        if uses.generation != keyring.active:
            uses = await self._load_use_counter(keyring)
        if keyring.epoch == self._keyring.epoch:
            self._keys = self._keys._replace(row=row.value)
        self._install_if_newer(SealingKeys(keyring, row.value, uses))

    async def rotate(self) -> int:
        """Make a new KEK generation, durably, and seal with it from now on. Returns its number.

        Raises `ConflictError` (`keyring_changed`) when another rotation is stored meanwhile:
        overwriting its generation would lose what it has sealed.
        """
        async with self._rotation_lock.hold():
            if self.is_stale:
                await self.refresh()
            before = self._keys
            keyring = before.keyring.rotate(self._world.now())
            uses = KekUseCounter(keyring.active, keyring.generations[-1].created_at)
            await self._store_keyring(keyring, before, uses)
            return keyring.active

    async def retire_older_generations(self, active: int) -> list[int]:
        """Drop the KEKs below the active generation, durably; returns which.

        Only after a look at every version, begun when `active` was stored already: what is under
        them is lost. No transaction seals under an older generation since then. Raises as
        `rotate`, and `ConflictError` where `active` is not the active one any more.
        """
        async with self._rotation_lock.hold():
            if self.is_stale:
                await self.refresh()
            before = self._keys
            keyring = before.keyring
            if active != keyring.active:
                raise ConflictError(KEYRING_CHANGED, "the keyring was rotated meanwhile")
            held = [generation for generation in range(1, active) if keyring.holds(generation)]
            for generation in held:
                keyring = keyring.retire(generation)
            if held:
                await self._store_keyring(keyring, before, before.uses)
            return held

    async def _store_keyring(
        self, keyring: Keyring, before: SealingKeys, uses: KekUseCounter
    ) -> None:
        """Store a keyring in the place of the one before, and go on with it. Raises as `rotate`."""
        row = SystemRow(name=KEYRING_ROW, value=keyring.encode(self._root_key))
        await self._store.commit(partial(_replace_keyring, before=before.row, rows=[row]))
        self._install_if_newer(SealingKeys(keyring, row.value, uses))

    async def rekey(
        self, root_key: bytes, seal_row: SystemRow, *, seal_before: bytes | None = None
    ) -> int:
        """Wrap the keyring with another root key, durably, together with how that is kept.

        The root key is wrapped anew for break-glass holders, too, in the same transaction. Returns
        the epoch: the keyring as it was wrapped before is recognisably old from now on. Raises as
        `rotate`, `ConflictError` (`seal_changed`) where the stored seal is not `seal_before`, and
        `TamperedError` for a break-glass set that is not this vault's. When it is not known whether
        it was stored, both keys are tried.
        """
        async with self._rotation_lock.hold():
            if self.is_stale:
                await self.refresh()
            before = self._keys
            keyring = before.keyring.at_epoch(before.keyring.epoch + 1)
            row = SystemRow(name=KEYRING_ROW, value=keyring.encode(root_key))
            self._next_root_key = root_key

            def change(tx: StoreTx) -> None:
                root_keys = (self._root_key, root_key)
                _replace_root_key(tx, before.row, [row], root_keys, (keyring.org, keyring.vault))
                if seal_before is None:
                    tx.put(SYSTEM, seal_row)
                else:
                    _replace_seal(tx, seal_before, seal_row)

            try:
                await self._store.commit(change)
            except VaultError as error:
                if error.details.get("outcome") != UNKNOWN:
                    self._next_root_key = b""
                raise
            self._root_key, self._next_root_key = root_key, b""
            self._install_if_newer(SealingKeys(keyring, row.value, before.uses))
            return keyring.epoch

    async def replace_seal(self, before: bytes, seal_row: SystemRow) -> None:
        """Store how the root key is kept, durably, in the place of the row of before.

        Raises `ConflictError` (`seal_changed`) where that is not the stored one, and as
        `Store.commit`.
        """
        await self._store.commit(partial(_replace_seal, before=before, row=seal_row))

    async def get_break_glass(self) -> BreakGlassRecord:
        """The break-glass set in force, and the uses. Raises as `Store.get`, `TamperedError`."""
        keyring, row = self._keyring, await self._store.get(SYSTEM, BREAK_GLASS_ROW)
        return _checked_break_glass(row, self._root_key, (keyring.org, keyring.vault))

    async def change_break_glass(
        self, change: Callable[[BreakGlassRecord, bytes], BreakGlassRecord]
    ) -> BreakGlassRecord:
        """Store what `change` makes of the record and the root key, authenticated, durably.

        `change` runs in the transaction, and may raise. Raises as `rotate` and `get_break_glass`.
        """
        async with self._rotation_lock.hold():
            if self.is_stale:
                await self.refresh()
            keyring = self._keyring
            return await self._store.commit(
                partial(
                    _change_break_glass,
                    before=self._keys.row,
                    root_key=self._root_key,
                    scope=(keyring.org, keyring.vault),
                    change=change,
                )
            )

    @property
    def break_glass_uses(self) -> tuple[int, int]:
        """How often break-glass holders have opened the vault, and when last (Unix ns)."""
        return self._keyring.break_glass_uses, self._keyring.break_glass_used_at

    @property
    def root_key(self) -> bytes:
        """The one that wraps the keyring."""
        return self._root_key

    def is_root_key(self, key: bytes) -> bool:
        """Whether this one wraps the keyring; compared in constant time."""
        return compare_digest(key, self._root_key)

    @property
    def _keyring(self) -> Keyring:
        return self._keys.keyring

    def _install_if_newer(self, keys: SealingKeys) -> None:
        """Seal with these, unless they or newer ones are there."""
        if keys.keyring.epoch > self._keyring.epoch:
            self._keys = keys
            self._data_keys.clear()

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

        Once: a later call does nothing. Raises as `Store.commit`: then all that is reserved counts
        as used, as after a crash.
        """
        self._is_stopped, uses = True, self._keys.uses
        if uses.close():
            await self._store.commit(partial(_store_use_count, uses=uses), deadline=COUNT_SECONDS)

    def clear_data_keys(self) -> None:
        """Drop the data keys: nothing is to be opened any more."""
        self._data_keys.clear()

    async def _load_use_counter(self, keyring: Keyring) -> KekUseCounter:
        """What is stored of the uses of its active generation; every block counts as used."""
        row = await self._store.get(SYSTEM, _uses_row(keyring.active))
        return KekUseCounter(keyring.active, keyring.generations[-1].created_at, _stored_uses(row))


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


def _reserve_uses(uses: KekUseCounter, count: int) -> BlockNeeded | None:
    """As `KekUseCounter.reserve_uses`. Raises `UnavailableError` once the count is final."""
    try:
        return uses.reserve_uses(count)
    except CounterClosed:
        raise _closed() from None


def _closed() -> UnavailableError:
    return UnavailableError("sealed", "Vault is sealed", outcome="none")


def _root_key_changed_error() -> UnavailableError:
    return UnavailableError(
        "root_key_changed",
        "another agent of this vault has changed the root key, so this one seals itself. It opens "
        "by a key provider alone; else unseal it with the new shares, or put the new key file in "
        "place and restart it",
        outcome="none",
    )


def _replace_keyring(tx: StoreTx, before: bytes | None, rows: Sequence[SystemRow]) -> None:
    """Store these rows, the keyring among them, if the stored keyring is still the one `before`."""
    stored = tx.get(SYSTEM, KEYRING_ROW)
    if (None if stored is None else stored.value) != before:
        raise ConflictError(KEYRING_CHANGED, "the keyring was changed meanwhile; try again")
    for row in rows:
        tx.put(SYSTEM, row)


def _replace_root_key(
    tx: StoreTx,
    before: bytes | None,
    rows: Sequence[SystemRow],
    root_keys: tuple[bytes, bytes],
    scope: tuple[str, str],
) -> None:
    """As `_replace_keyring`; of `root_keys` the second takes the place of the first."""
    _replace_keyring(tx, before, rows)
    stored = tx.get(SYSTEM, BREAK_GLASS_ROW)
    if stored is not None:
        found = _checked_break_glass(stored, root_keys[0], scope).rewrap(root_keys[1])
        tx.put(SYSTEM, SystemRow(name=BREAK_GLASS_ROW, value=found.encode()))


def _change_break_glass(
    tx: StoreTx,
    before: bytes | None,
    root_key: bytes,
    scope: tuple[str, str],
    change: Callable[[BreakGlassRecord, bytes], BreakGlassRecord],
) -> BreakGlassRecord:
    """Only with the keyring `before`: its root key is the one that is wrapped."""
    _replace_keyring(tx, before, ())
    found = _checked_break_glass(tx.get(SYSTEM, BREAK_GLASS_ROW), root_key, scope)
    new = change(found, root_key).authenticate(root_key)
    tx.put(SYSTEM, SystemRow(name=BREAK_GLASS_ROW, value=new.encode()))
    return new


def _checked_break_glass(
    row: SystemRow | None, root_key: bytes, scope: tuple[str, str]
) -> BreakGlassRecord:
    try:
        found = BreakGlassRecord.decode(None if row is None else row.value, *scope)
        if row is not None:
            found.check(root_key)
    except CryptoError:
        raise break_glass_tampered_error() from None
    return found


def break_glass_tampered_error() -> TamperedError:
    """The error for a row that this vault has not written as it stands."""
    return TamperedError(
        "break_glass_tampered",
        "the stored break-glass set fails its authentication: somebody else wrote to the database; "
        "restore a backup of it",
    )


def _replace_seal(tx: StoreTx, before: bytes, row: SystemRow) -> None:
    stored = tx.get(SYSTEM, SEAL_ROW)
    if stored is None or stored.value != before:
        raise ConflictError("seal_changed", "the seal was changed meanwhile; try again")
    tx.put(SYSTEM, row)


def _allocate_block(tx: StoreTx, needed: BlockNeeded) -> UseBlock:
    """Allocate KEK uses. Transactions are one at a time, whoever's: no two blocks overlap."""
    name = _uses_row(needed.generation)
    block = needed.allocate(_stored_uses(tx.get(SYSTEM, name)))
    tx.put(SYSTEM, SystemRow(name=name, value=block.end.to_bytes(8)))
    return block


def _store_use_count(tx: StoreTx, uses: KekUseCounter) -> None:
    """Store the exact count in place of the end of the last block, if nobody has one behind it.

    What sealed before this transaction is counted, and whatever comes after it is refused.
    """
    name = _uses_row(uses.generation)
    stored = _stored_uses(tx.get(SYSTEM, name))
    if (final := uses.final_count(stored)) != stored:
        tx.put(SYSTEM, SystemRow(name=name, value=final.to_bytes(8)))


def _stored_uses(row: SystemRow | None) -> int:
    return 0 if row is None else int.from_bytes(row.value)


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


def open_stored_value(keyring: Keyring, row: VersionRow) -> bytes:
    """The plaintext of a version that is in no open vault, such as one in a backup.

    Raises `TamperedError` (`value_tampered`), `UnavailableError` (`key_retired`).
    """
    return _open(keyring, row, DataKeyCache(1))


def _value_tampered_error() -> TamperedError:
    return TamperedError(
        "value_tampered",
        "the stored value fails its authentication and is refused; "
        "restore it from a backup and look for who wrote to the database",
    )
