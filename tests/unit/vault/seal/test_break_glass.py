"""Break-glass sets of an open vault, shares at a sealed one, and the trace of a use."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from actors.testing import FakeWorld
from vault.audit.record import AuditEvent
from vault.barrier import BREAK_GLASS_ROW, KEYRING_ROW, SEAL_ROW, Barrier, HmacRowGuard
from vault.crypto.break_glass import BreakGlassRecord
from vault.crypto.errors import MalformedShare
from vault.crypto.keyring import Keyring
from vault.errors import (
    AuthorizationError,
    ConflictError,
    TamperedError,
    UnavailableError,
    ValidationError,
    VaultError,
)
from vault.model.break_glass import NewBreakGlassSet
from vault.model.records import SystemRow
from vault.seal.anchor.acceptance import Acceptance, AcceptanceSubject, write_acceptance
from vault.seal.break_glass import (
    BreakGlassKeys,
    BreakGlassOpening,
    BreakGlassSets,
    BreakGlassUse,
    PermitFile,
    UseRecorder,
    decode_share,
    encode_share,
)
from vault.store.interface import NOTHING_STORED, BackendError
from vault.store.memory import MemoryBackend
from vault.store.store import Store, open_store
from vault.store.tables import SYSTEM
from vault.store.transaction import StoreTx

ROOT = bytes(range(32))
CODE = "ab" * 16


class Failing(MemoryBackend):
    """Stores nothing once it is told to fail."""

    fails = False

    def write(self, apply: Callable[..., Any]) -> None:
        """Unless it fails."""
        if self.fails:
            raise BackendError("store_unavailable", "away", NOTHING_STORED)
        super().write(apply)


class Permit:
    """What a person on the machine has allowed."""

    def __init__(self) -> None:
        self.given: Acceptance | None = Acceptance(1, "fire", CODE)

    async def read(self) -> Acceptance | None:
        """As it is."""
        return self.given

    async def remove(self) -> None:
        """It is used up."""
        self.given = None


class Vault:
    """An open vault, and what opens it when it is sealed."""

    def __init__(self, store: Store, barrier: Barrier, keyring: Keyring, world: FakeWorld) -> None:
        self.store, self.barrier, self.keyring, self.world = store, barrier, keyring, world
        self.sets = BreakGlassSets(barrier, world, trio.lowlevel.checkpoint)
        self.permit = Permit()
        self.opening = BreakGlassOpening(self.permit)

    async def make(self, shares: int = 3, threshold: int = 2, **more: bool) -> NewBreakGlassSet:
        """A set by root."""
        return await self.sets.create(shares, threshold, "root", replaces=more.get("again", False))

    async def row(self) -> BreakGlassRecord:
        """As it is stored."""
        row = await self.store.get(SYSTEM, BREAK_GLASS_ROW)
        return BreakGlassRecord.decode(None if row is None else row.value, "o", "v")

    async def put(self, name: str, value: bytes) -> None:
        """One row of the system table."""
        await self.store.commit(lambda tx: tx.put(SYSTEM, SystemRow(name=name, value=value)))

    async def submit(self, share: str, code: str = CODE) -> BreakGlassKeys | None:
        """At the sealed vault, with the keyring as it is stored."""
        row = await self.store.get(SYSTEM, KEYRING_ROW)
        assert row is not None
        blob = row.value
        return await self.opening.submit(
            share, code, await self.row(), lambda key: Keyring.decode(key, blob, org="o", vault="v")
        )


@asynccontextmanager
async def opened(backend: MemoryBackend | None = None) -> AsyncIterator[Vault]:
    """A vault for the length of the block."""
    world = FakeWorld()
    keyring = Keyring.create(world.now(), org="o", vault="v")
    async with open_store(backend or MemoryBackend(), HmacRowGuard(keyring), world) as store:
        row = SystemRow(name=KEYRING_ROW, value=keyring.encode(ROOT))
        await store.commit(lambda tx: tx.put(SYSTEM, row))
        barrier = Barrier(store, keyring, ROOT, world)
        await barrier.load_use_counter()
        yield Vault(store, barrier, keyring, world)


@given(st.binary(min_size=33, max_size=33), st.integers(0, 88), st.sampled_from("0123456789abcdef"))
def test_a_share_survives_paper_and_a_typo_does_not(share: bytes, at: int, digit: str) -> None:
    """In whichever case and with whichever blanks around it."""
    text = encode_share("0badcafe", share)
    assert len(text) == 89
    assert decode_share(f" {text.upper()}\n", "0badcafe") == share
    typed = text[:at] + digit + text[at + 1 :]
    if typed != text:
        with pytest.raises(MalformedShare):
            decode_share(typed, "0badcafe")


async def test_k_of_n_open_the_vault_and_fewer_do_not() -> None:
    """In any order; the same share twice is one share."""
    async with opened() as vault:
        made = await vault.make(4, 3)
        assert (made.state.made_by, made.state.shares, made.state.threshold) == ("root", 4, 3)
        for share in (made.shares[3], made.shares[0]):
            assert await vault.submit(share) is None
        with pytest.raises(ValidationError, match="is in already"):
            await vault.submit(made.shares[0])
        assert vault.opening.progress == 2
        found = await vault.submit(made.shares[1])
        assert found is not None
        assert found.root_key == ROOT
        assert found.use == BreakGlassUse(made.state.set, 4, 3, "fire")
        assert ROOT.hex() not in repr(found)
        assert vault.opening.progress == 0


async def test_only_with_the_permit_and_its_code() -> None:
    """Without one the shares that are in are forgotten; another permit begins anew."""
    async with opened() as vault:
        made = await vault.make()
        with pytest.raises(AuthorizationError) as caught:
            await vault.submit(made.shares[0], "cd" * 16)
        assert caught.value.code == "break_glass_code_wrong"
        assert await vault.submit(made.shares[0]) is None
        vault.permit.given = Acceptance(1, "again", "cd" * 16)
        assert await vault.submit(made.shares[1], "CD" * 16) is None
        assert vault.opening.progress == 1
        await vault.permit.remove()
        with pytest.raises(AuthorizationError) as caught:
            await vault.submit(made.shares[2], "cd" * 16)
        assert caught.value.code == "break_glass_not_allowed"
        assert vault.opening.progress == 0


async def test_shares_of_two_sets_do_not_mix() -> None:
    """Those of the former one are named; relabelled, they do not fit."""
    async with opened() as vault:
        former = await vault.make()
        with pytest.raises(ConflictError) as caught:
            await vault.make()
        assert caught.value.code == "break_glass_exists"
        made = await vault.make(again=True)
        assert await vault.submit(made.shares[0]) is None
        with pytest.raises(ValidationError, match=f"is of set {former.state.set}"):
            await vault.submit(former.shares[1])
        assert vault.opening.progress == 1
        bare = decode_share(former.shares[1], former.state.set)
        for _ in range(9):
            with pytest.raises(ValidationError) as wrong:
                await vault.submit(encode_share(made.state.set, bare))
            assert wrong.value.code == "shares_wrong"
            assert await vault.submit(made.shares[0]) is None
        with pytest.raises(ValidationError):
            await vault.submit(encode_share(made.state.set, bare))
        assert vault.permit.given is None  # ten sets that did not fit


async def test_a_set_that_was_revoked_opens_nothing() -> None:
    """And is listed no more; its uses are."""
    async with opened() as vault:
        made = await vault.make()
        assert (await vault.sets.revoke()).set == made.state.set
        with pytest.raises(ConflictError) as caught:
            await vault.sets.revoke()
        assert caught.value.code == "break_glass_missing"
        with pytest.raises(ConflictError):
            await vault.submit(made.shares[0])
        assert (await vault.sets.state()).set == ""


@pytest.mark.parametrize("numbers", [(1, 1), (3, 1), (2, 3), (256, 2), (0, 0)])
async def test_numbers_that_make_no_set(numbers: tuple[int, int]) -> None:
    """1 of n would be the key in every hand."""
    async with opened() as vault:
        with pytest.raises(ValidationError):
            await vault.make(*numbers)
        assert (await vault.row()).in_force is None


async def test_a_rekey_wraps_the_new_root_key_for_the_same_holders() -> None:
    """In the transaction that stores the keyring."""
    async with opened() as vault:
        made = await vault.make()
        new = bytes(range(1, 33))
        await vault.barrier.rekey(new, SystemRow(name=SEAL_ROW, value=b"{}"))
        for share in made.shares[:2]:
            found = await vault.submit(share)
        assert found is not None
        assert found.root_key == new
        assert (await vault.sets.state()).set == made.state.set


async def test_the_next_root_key_is_not_wrapped_to_somebody_elses_public_key() -> None:
    """A row that this vault has not written stops the rekey, and the next opening."""
    async with opened() as vault, opened() as other:
        await vault.make()
        shares = (await other.make()).shares
        foreign = (await other.row()).authenticate(bytes(32))
        await vault.put(BREAK_GLASS_ROW, foreign.encode())
        with pytest.raises(TamperedError) as caught:
            await vault.barrier.rekey(bytes(32), SystemRow(name=SEAL_ROW, value=b"{}"))
        assert caught.value.code == "break_glass_tampered"
        with pytest.raises(TamperedError):
            await vault.sets.state()
        assert await vault.submit(shares[0]) is None
        with pytest.raises(TamperedError):
            await vault.submit(shares[1])


async def test_two_who_make_a_set_at_once() -> None:
    """One does; the other is told."""
    async with opened() as vault:
        told: list[str] = []

        async def make() -> None:
            try:
                told.append((await vault.make()).state.set)
            except ConflictError as error:
                told.append(error.code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(make)
            nursery.start_soon(make)
        assert "break_glass_exists" in told
        assert (await vault.sets.state()).set in told


class Trace:
    """Audit log and anchor of an opening; each step can be told to fail."""

    def __init__(self, vault: Vault, fails: str = "") -> None:
        self.vault, self.fails = vault, fails
        self.keyring = vault.keyring
        self.events: list[AuditEvent] = []
        self.anchored: list[int] = []

    async def record(self, event: AuditEvent) -> None:
        """As the broker's."""
        if self.fails == event.phase:
            raise UnavailableError("audit_unavailable", "no sink")
        self.events.append(event)

    def require_same_keys(self, _tx: StoreTx, _root_key: bytes, _keyring: Keyring) -> None:
        """They are."""

    async def anchor_uses(self, keyring: Keyring) -> None:
        """As the anchor writer's."""
        if self.fails == "anchor":
            raise UnavailableError("anchor_unavailable", "no disk")
        self.anchored.append(keyring.break_glass_uses)

    async def use(self, use: BreakGlassUse) -> Keyring:
        """Count it."""
        recorder = UseRecorder(self, self.vault.store, self.vault.world)  # type: ignore[arg-type]  # as far as it is asked
        return await recorder.record(self, ROOT, use)

    async def stored_uses(self) -> int:
        """By the keyring in the database."""
        row = await self.vault.store.get(SYSTEM, KEYRING_ROW)
        assert row is not None
        return Keyring.decode(ROOT, row.value, org="o", vault="v").break_glass_uses


@pytest.mark.parametrize(
    ("fails", "events", "counted"),
    [
        ("intent", [], 0), ("store", ["intent"], 0), ("anchor", ["intent"], 1),
        ("outcome", ["intent"], 1), ("", ["intent", "outcome"], 1),
    ],
)  # fmt: skip
async def test_a_use_is_on_record_and_counted_before_anything_opens(
    fails: str, events: list[str], counted: int
) -> None:
    """Whatever fails, the opening does; the count is never ahead of the log."""
    backend = Failing()
    async with opened(backend) as vault:
        made = await vault.make()
        use = BreakGlassUse(made.state.set, 3, 2, "fire")
        trace = Trace(vault, fails)
        backend.fails = fails == "store"
        if fails:
            with pytest.raises(VaultError):
                await trace.use(use)
        else:
            assert (await trace.use(use)).epoch == vault.keyring.epoch + 1
        backend.fails = False
        assert [event.phase for event in trace.events] == events
        assert all(event.alert for event in trace.events)
        assert len({event.request_id for event in trace.events}) <= 1
        assert await trace.stored_uses() == counted
        row = await vault.row()
        row.check(ROOT)
        assert row.uses == counted
        assert row.in_force is not None
        assert row.in_force.uses == counted
        assert trace.anchored == ([1] if fails in ("", "outcome") else [])


async def test_a_permit_is_of_this_hour_and_has_a_code(tmp_path: Path) -> None:
    """A file beside the anchor; one that another subject wrote allows nothing."""
    world, anchor = FakeWorld(), tmp_path / "vault.anchor"
    permit = PermitFile(anchor, world)
    assert await permit.read() is None
    for given_at, code, allows in (
        (world.wall(), CODE, True),
        (world.wall(), "", False),
        (world.wall() - 3_600 * 10**9, CODE, False),
        (world.wall() + 10**9, CODE, False),
    ):
        accepted = Acceptance(given_at, "fire", code)
        assert CODE not in repr(accepted)
        write_acceptance(anchor, accepted, AcceptanceSubject.BREAK_GLASS)
        assert (await permit.read() is not None) is allows
    write_acceptance(anchor, Acceptance(world.wall(), "r", CODE), AcceptanceSubject.BREAK_GLASS)
    await permit.remove()
    write_acceptance(anchor, Acceptance(world.wall(), "r", CODE))
    assert await permit.read() is None
