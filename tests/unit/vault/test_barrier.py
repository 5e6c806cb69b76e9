"""Tests of the barrier: what lies below it is not believed."""

from typing import Any

import pytest
from msgspec import UNSET, Struct
from msgspec.structs import asdict, replace

from tests.unit.vault.conftest import NOW, ROOT_KEY, Vault, head
from vault.barrier import KEYRING_ROW, Barrier, HmacRowGuard, VaultTx
from vault.crypto.kek_uses import BLOCK
from vault.crypto.keyring import Keyring
from vault.errors import TamperedError, UnavailableError, ValidationError
from vault.model.labels import Labels
from vault.model.records import SystemRow, UserRow, VersionRow
from vault.store.interface import WriteSet
from vault.store.store import open_store
from vault.store.tables import SECRETS, SYSTEM

USER = UserRow(
    id="u", username="ann", name_key="ann", policies=["p"], created_at=NOW, updated_at=NOW
)


# Rows.


def guard(org: str = "o", vault: str = "v") -> HmacRowGuard:
    """Of a vault with a key of its own."""
    return HmacRowGuard(Keyring.create(NOW, org=org, vault=vault))


def test_a_version_from_before_labels_keeps_its_stamp() -> None:
    """What is unset is not part of it, and what is set cannot be taken away or put in."""

    class Before(Struct, frozen=True, kw_only=True):
        secret_id: str = "i"
        version: int = 1
        wrapped_dek: bytes = b"dek"
        box: bytes = b"box"
        kek_generation: int = 1
        created_at: int = NOW
        created_by: str = "x"
        deletion_time: int = 0
        destroyed: bool = False
        mac: bytes = b""

    own = guard()
    stamped = own.stamp("secret_versions", Before())
    old = VersionRow(**asdict(stamped))
    own.check("secret_versions", old)
    new = own.stamp("secret_versions", replace(old, labels=Labels()))
    own.check("secret_versions", new)
    for forged in (
        replace(old, labels=Labels()),
        replace(new, labels=UNSET),
        replace(new, labels=Labels(tags=["x"])),
    ):
        with pytest.raises(TamperedError):
            own.check("secret_versions", forged)


def test_a_stamped_row_is_believed() -> None:
    """By the vault that stamped it, and by no other."""
    own = guard()
    row = own.stamp("users", USER)
    own.check("users", row)
    with pytest.raises(TamperedError):
        guard().check("users", row)


@pytest.mark.parametrize(
    "edit",
    [
        {"id": "u2"}, {"username": "bob"}, {"policies": ["root"]}, {"policies": []},
        {"status": "disabled"}, {"updated_at": NOW + 1}, {"mac": b""}, {"mac": bytes(32)},
    ],
)  # fmt: skip
def test_an_edited_row_is_refused(edit: dict[str, Any]) -> None:
    """Whichever column somebody wrote to, its key among them; the error names the table only."""
    own = guard()
    with pytest.raises(TamperedError) as caught:
        own.check("users", replace(own.stamp("users", USER), **edit))
    assert caught.value.details == {"table": "users"}


def test_every_bit_of_a_stamp_counts() -> None:
    """No flipped bit passes."""
    own = guard()
    row = own.stamp("users", USER)
    for bit in range(8 * len(row.mac)):
        mac = bytearray(row.mac)
        mac[bit // 8] ^= 1 << bit % 8
        with pytest.raises(TamperedError):
            own.check("users", replace(row, mac=bytes(mac)))


def test_a_row_does_not_move_to_another_table() -> None:
    """The stamp is over the table too."""
    own = guard()
    with pytest.raises(TamperedError):
        own.check("roles", own.stamp("users", USER))


def test_a_row_does_not_move_to_another_vault() -> None:
    """Nor organization, even under the same key."""
    keyring = Keyring.create(NOW, org="o", vault="v")
    row = HmacRowGuard(keyring).stamp("users", USER)
    for other in (replace(keyring, org="o2"), replace(keyring, vault="v2")):
        with pytest.raises(TamperedError):
            HmacRowGuard(other).check("users", row)


async def test_a_row_edited_below_is_refused(vault: Vault) -> None:
    """As a whole: somebody writes to the database behind the agent's back."""
    await vault.put()
    head = await vault.store.get(SECRETS, "s/i")
    assert head is not None
    forged = replace(head, current_version=9)
    vault.backend.write(lambda _: WriteSet(updates={SECRETS: [forged]}))
    async with open_store(vault.backend, HmacRowGuard(vault.keyring), vault.world) as cold:
        with pytest.raises(TamperedError):
            await cold.get(SECRETS, "s/i")


# Values.


async def test_what_is_sealed_opens(vault: Vault) -> None:
    """And only its own place holds it."""
    row = await vault.put(b'{"a":1}')
    assert vault.barrier.open_value(row) == b'{"a":1}'
    assert b'{"a":1}' not in row.box + row.wrapped_dek


async def test_every_flipped_bit_is_found(vault: Vault) -> None:
    """In the wrapped key and in the box."""
    row = await vault.put(b"1")
    for name in ("wrapped_dek", "box"):
        data: bytes = getattr(row, name)
        for bit in range(8 * len(data)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(UnavailableError, match="value_tampered"):
                vault.barrier.open_value(replace(row, **{name: bytes(flipped)}))


async def test_values_do_not_change_places(vault: Vault) -> None:
    """Not between versions, not between secrets, not in parts."""
    one, two = await vault.put(b"1"), await vault.put(b"2", number=2)
    other = await vault.put(b"3", secret_id="j")
    swaps = [
        replace(one, version=2), replace(one, secret_id="j"),
        replace(one, wrapped_dek=two.wrapped_dek, box=two.box), replace(one, box=two.box),
        replace(one, wrapped_dek=other.wrapped_dek), replace(one, box=b"", wrapped_dek=b""),
    ]  # fmt: skip
    for row in swaps:
        with pytest.raises(TamperedError):
            vault.barrier.open_value(row)


async def test_a_value_that_was_opened_before_is_checked_as_if_it_had_not(vault: Vault) -> None:
    """Its key is kept; every flipped bit of it, and every other place, is refused all the same."""
    row, other = await vault.put(), await vault.put(secret_id="j")
    assert vault.barrier.open_value(row) == vault.barrier.open_value(other)
    for field in ("wrapped_dek", "box"):
        data = getattr(row, field)
        for bit in range(len(data) * 8):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(TamperedError):
                vault.barrier.open_value(replace(row, **{field: bytes(flipped)}))
    moved: dict[str, Any]
    for moved in ({"secret_id": "j"}, {"version": 2}, {"box": other.box}):
        with pytest.raises(TamperedError):
            vault.barrier.open_value(replace(row, **moved))
    assert vault.barrier.open_value(row) == b'"v"'


async def test_what_was_read_is_forgotten(vault: Vault) -> None:
    """No data key stays when the vault is taken down; who reads yet unwraps it again."""
    row = await vault.put(b"1")
    assert vault.barrier.open_value(row) == b"1"
    assert len(vault.barrier._data_keys) == 1
    vault.barrier.clear_data_keys()
    assert len(vault.barrier._data_keys) == 0
    assert vault.barrier.open_value(row) == b"1"


async def test_two_seals_of_one_value_differ(vault: Vault) -> None:
    """Equal values cannot be told from the database."""
    assert (await vault.put(b"1")).box != (await vault.put(b"1", number=2)).box


# Rotation.


async def test_rotation_is_durable_before_it_counts(vault: Vault) -> None:
    """The stored keyring opens what the new generation sealed; old values open too."""
    old = await vault.put(b"1")
    assert await vault.barrier.rotate() == 2
    new = await vault.put(b"2", number=2)
    assert (old.kek_generation, new.kek_generation) == (1, 2)
    stored = await vault.store.get(SYSTEM, "keyring")
    assert stored is not None
    keyring = Keyring.decode(ROOT_KEY, stored.value, org="o", vault="v")
    later = Barrier(vault.store, keyring, ROOT_KEY, vault.world)
    assert [later.open_value(row) for row in (old, new)] == [b"1", b"2"]


async def test_rewrap_moves_the_key_alone(vault: Vault) -> None:
    """The ciphertext stays, the value opens, and no other place's row is taken for it."""
    row = await vault.put(b"1")
    await vault.barrier.rotate()
    moved = await vault.barrier.transact(lambda tx: tx.rewrap(row), max_encryptions=1)
    assert (moved.kek_generation, moved.box) == (2, row.box)
    assert vault.barrier.open_value(moved) == b"1"
    with pytest.raises(TamperedError):
        await vault.barrier.transact(
            lambda tx: tx.rewrap(replace(row, version=7)), max_encryptions=1
        )


async def test_rotation_due(vault: Vault) -> None:
    """At its age, whatever else."""
    young = Barrier(vault.store, vault.keyring, ROOT_KEY, vault.world, rotation_interval=10 * 10**9)
    assert not young.rotation_due
    vault.world.advance(10 + (NOW - vault.world.now()) / 10**9)
    assert young.rotation_due
    assert young.keyring_state.rotation_due
    assert not vault.barrier.rotation_due


# The count of uses.


async def test_uses_are_reserved_before_they_happen(vault: Vault) -> None:
    """A block at a time, durably, so that a crash counts too many and never too few."""
    assert await vault.reserved() == 0
    await vault.put()
    assert await vault.reserved() == BLOCK
    assert vault.barrier.keyring_state.uses == 1
    after_a_crash = Barrier(vault.store, vault.keyring, ROOT_KEY, vault.world)
    await after_a_crash.load_use_counter()
    assert after_a_crash.keyring_state.uses == BLOCK


async def reopened(vault: Vault) -> int:
    """How many uses the next opening counts."""
    barrier = Barrier(vault.store, vault.keyring, ROOT_KEY, vault.world)
    await barrier.load_use_counter()
    count: int = barrier.keyring_state.uses
    return count


def sealing(tx: VaultTx) -> int:
    """A change that seals; with which generation of the key."""
    return tx.seal("i", 1, b"1")[2]


async def test_an_orderly_stop_gives_back_what_was_not_used(vault: Vault) -> None:
    """The exact count is stored, and nothing is sealed any more that nobody would count."""
    for number in (1, 2, 3):
        await vault.put(number=number)
    assert (vault.barrier.keyring_state.reserved_uses, await reopened(vault)) == (BLOCK, BLOCK)
    await vault.barrier.store_use_count()
    assert (await vault.reserved(), await reopened(vault)) == (3, 3)
    with pytest.raises(UnavailableError, match="sealed"):
        await vault.put(number=4)
    await vault.barrier.store_use_count()
    assert await vault.reserved() == 3


async def test_nothing_is_sealed_with_a_key_that_comes_after_an_orderly_stop(vault: Vault) -> None:
    """Another agent rotates while this one is being sealed: its key is not used here any more."""
    await vault.put()
    await vault.barrier.store_use_count()
    row = SystemRow(name=KEYRING_ROW, value=vault.keyring.rotate(NOW).encode(ROOT_KEY))
    await vault.store.commit(lambda tx: tx.put(SYSTEM, row))
    with pytest.raises(UnavailableError, match="sealed"):
        await vault.put(number=2)
    assert await vault.store.get(SYSTEM, "kek-uses/2") is None


async def test_what_is_sealed_beside_an_orderly_stop_is_counted_or_refused(vault: Vault) -> None:
    """Taken before it: counted. More than was taken, behind it: refused before it happens."""
    await vault.put()
    held: list[VaultTx] = []
    made = []

    def twice(tx: VaultTx) -> None:
        held.append(tx)
        made.append(sealing(tx))
        made.append(sealing(tx))

    await vault.barrier.transact(twice, max_encryptions=1)
    assert len(made) == 2
    await vault.barrier.store_use_count()
    assert await vault.reserved() == 1 + 2
    with pytest.raises(UnavailableError, match="sealed"):
        sealing(held[0])


@pytest.mark.parametrize("more", [0, 2])
async def test_an_orderly_stop_stores_what_was_used_beyond_the_reservation(
    vault: Vault, more: int
) -> None:
    """All that was reserved counts as used, and more has happened; nothing is sealed behind it."""
    await vault.put()
    barrier = Barrier(vault.store, vault.keyring, ROOT_KEY, vault.world)
    await barrier.load_use_counter()
    held: list[VaultTx] = []

    def beyond(tx: VaultTx) -> None:
        held.append(tx)
        for number in range(1, more + 1):
            tx.seal("i", number, b"1")

    await barrier.transact(beyond)
    await barrier.store_use_count()
    assert (await vault.reserved(), await reopened(vault)) == (BLOCK + more, BLOCK + more)
    with pytest.raises(UnavailableError, match="sealed"):
        sealing(held[0])


async def test_a_stop_whose_count_is_not_stored_counts_as_a_crash(vault: Vault) -> None:
    """The whole reservation counts, and still nothing is sealed beside it."""
    await vault.put()
    commit = vault.store.commit

    async def lost(change: Any, **_: Any) -> Any:
        def failing(tx: Any) -> None:
            change(tx)
            raise UnavailableError("store_full", "full", outcome="none")

        return await commit(failing)

    vault.store.commit = lost  # type: ignore[method-assign,assignment]  # a full disk
    with pytest.raises(UnavailableError, match="store_full"):
        await vault.barrier.store_use_count()
    assert (await vault.reserved(), await reopened(vault)) == (BLOCK, BLOCK)
    with pytest.raises(UnavailableError, match="sealed"):
        await vault.put(number=2)


async def test_a_larger_reservation_than_ours_is_not_given_back(vault: Vault) -> None:
    """Whoever stored it may have used it."""
    await vault.put()
    row = SystemRow(name="kek-uses/1", value=(5 * BLOCK).to_bytes(8))
    await vault.store.commit(lambda tx: tx.put(SYSTEM, row))
    await vault.barrier.store_use_count()
    assert await vault.reserved() == 5 * BLOCK


async def test_a_change_that_seals_more_than_it_said_is_counted(vault: Vault) -> None:
    """A batch that is run again seals again; the count follows."""

    def twice(tx: VaultTx) -> None:
        for number in (1, 2, 3):
            tx.seal("i", number, b"1")

    await vault.barrier.transact(twice, max_encryptions=1)
    assert vault.barrier.keyring_state.uses == 3


async def test_a_block_lies_behind_those_of_others(vault: Vault) -> None:
    """Whoever has stored them since this vault was opened."""
    row = SystemRow(name="kek-uses/1", value=(5 * BLOCK).to_bytes(8))
    await vault.store.commit(lambda tx: tx.put(SYSTEM, row))
    await vault.put()
    assert await vault.reserved() == 6 * BLOCK
    assert vault.barrier.keyring_state.uses == 5 * BLOCK + 1


async def test_each_generation_has_its_own_count(vault: Vault) -> None:
    """A new KEK starts from nothing."""
    await vault.put()
    await vault.barrier.rotate()
    assert vault.barrier.keyring_state.uses == 0
    await vault.put(number=2)
    assert await vault.store.get(SYSTEM, "kek-uses/2") is not None


# Transactions and cursors.


async def test_a_change_that_fails_leaves_nothing(vault: Vault) -> None:
    """Its error comes out as it is."""

    def change(tx: VaultTx) -> None:
        tx.put(SECRETS, head("i"))
        raise ValidationError("x", "no")

    with pytest.raises(ValidationError):
        await vault.barrier.transact(change)
    assert await vault.barrier.get(SECRETS, "s/i") is None


async def test_a_cursor_is_sealed(vault: Vault) -> None:
    """It opens to its position, shows nothing of it, and no other text passes for one."""
    cursor = vault.barrier.seal_cursor("s/hidden")
    assert vault.barrier.open_cursor(cursor) == "s/hidden"
    assert b"s/hidden".hex() not in cursor
    other = Barrier(vault.store, Keyring.create(NOW, org="o", vault="v"), ROOT_KEY, vault.world)
    flipped = f"{int(cursor[-1], 16) ^ 1:x}"
    for bad in ("", "zz", "é", cursor[:-1], cursor[:-1] + flipped, cursor + "00"):
        with pytest.raises(ValidationError, match="cursor_invalid"):
            vault.barrier.open_cursor(bad)
    with pytest.raises(ValidationError):
        other.open_cursor(cursor)
