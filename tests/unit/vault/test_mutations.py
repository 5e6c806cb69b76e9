"""Tests of what is committed for other processes: step 4, of many writes at a time."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import trio
from msgspec.structs import replace

from tests.unit.vault.conftest import Vault
from vault.crypto.kek_uses import KekUseCounter, WrapLimitReached
from vault.errors import UnavailableError, VaultError
from vault.handlers.access_counters import AccessCounters
from vault.handlers.handler import Call
from vault.handlers.secrets import SecretHandlers
from vault.handlers.stores import AccessStore, SecretStore
from vault.model.identity import Identity, Method, Permission
from vault.model.mounts import MountTable
from vault.model.operation import NO_FACTS, Operation, OperationType, Origin, SecretFacts
from vault.model.path import ResourcePath
from vault.model.payloads import WriteSecret
from vault.model.records import MountRow
from vault.model.results import SecretWritten
from vault.mutations import WRITE, Decided, Mutations
from vault.store.committer import NO_DEADLINE
from vault.store.interface import UNKNOWN, BackendError
from vault.store.tables import MOUNTS, SECRETS

THERE = SecretFacts(exists=True)
ANN = Identity(
    id="u1", name="ann", method=Method.TOKEN, policies=("p",), credential="acc1",
    permissions=(Permission(capabilities=("create",), paths=("s/*",)),),
)  # fmt: skip


def asked(
    path: str, facts: SecretFacts = NO_FACTS, *, decisive: bool = False, **payload: Any
) -> Call:
    """A write that ann may do."""
    op = Operation(
        type=OperationType(WRITE),
        path=ResourcePath.parse(path),
        payload=WriteSecret(**{"value": b"{}"} | payload),
        request_id="r1",
        credential="s.text",
        origin=Origin(ip="10.0.0.1", peer_certificate=b"DER"),
    )
    return Call(op, ANN, facts, decisive)


def decided(path: str, facts: SecretFacts = NO_FACTS, **more: Any) -> Decided:
    """The same, as a worker sends it."""
    wire = msgspec.msgpack.encode(Decided.of(asked(path, facts, **more)))
    return msgspec.msgpack.decode(wire, type=Decided)


MOUNT = MountRow(path="s/", id="s", accessor="s", created_at=0)


class House:
    """What mutations are carried out in."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        mounts = MountTable([MOUNT])
        self.secrets = SecretHandlers(
            SecretStore(vault.barrier),
            mounts,
            AccessCounters(AccessStore(vault.barrier), vault.world),
            vault.world,
        )
        self.followed = 0
        self.is_stale = False
        self.unreadable: VaultError | None = None
        self.mutations = Mutations(self.secrets, self)
        self.here = False
        """Whether they are carried out in the thread that calls, where that is possible."""

    async def refresh_stale(self) -> None:
        """Make current what is held."""
        await trio.lowlevel.checkpoint()
        self.followed += 1
        self.is_stale = False
        if self.unreadable is not None:
            raise self.unreadable

    async def carry_out(self, *writes: Decided) -> list[Any]:
        """Of each the number of the version, or the code of the error."""
        ends = self.mutations.carry_out_here(writes, until=NO_DEADLINE) if self.here else None
        if ends is None:
            ends = await self.mutations.carry_out(writes)
        return [end.version.version if isinstance(end, SecretWritten) else end.code for end in ends]


@pytest.fixture
async def house(vault: Vault) -> House:
    """One, with a mount."""
    await vault.barrier.transact(lambda tx: tx.put(MOUNTS, MOUNT))
    return House(vault)


@pytest.fixture(params=["asked of the writer", "here"])
async def either(request: pytest.FixtureRequest, house: House) -> House:
    """The same, both ways; uses of its key are reserved."""
    await house.vault.put(secret_id="before")
    house.here = request.param == "here"
    return house


async def test_one_that_fails_fails_alone(either: House) -> None:
    """Its neighbours are written; a path that is none is no fault of theirs either."""
    large = decided("s/c", value=b'"%s"' % (b"0" * (1 << 21)))
    odd = replace(decided("s/d"), path="s/../d")
    ends = await either.carry_out(decided("s/a"), decided("s/b", cas=7), large, odd, decided("s/e"))
    assert ends == [1, "cas_mismatch", "value_too_large", "path_invalid", 1]


async def test_what_the_store_does_not_know_is_unknown(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the transaction are told so."""
    late = UnavailableError("store_timeout", "late", outcome="unknown")

    async def commit(_: object) -> list[object]:
        await trio.lowlevel.checkpoint()
        raise late

    monkeypatch.setattr(house.vault.store, "commit_batch", commit)
    assert await house.mutations.carry_out([decided("s/a"), decided("s/b")]) == [late, late]


async def test_a_fault_is_told_as_ours(either: House, caplog: pytest.LogCaptureFixture) -> None:
    """Under the request's id, without its text."""
    object.__setattr__(either.secrets, "mounts", None)
    assert await either.carry_out(decided("s/a")) == ["internal"]
    assert "request r1: secret.write failed with AttributeError" in caplog.text


async def test_what_cannot_be_begun_is_told_to_each(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where it is no error of ours that says so: with a key that has no use left."""

    def reserve_uses(_: KekUseCounter, _count: int) -> None:
        raise WrapLimitReached("canary")

    monkeypatch.setattr(KekUseCounter, "reserve_uses", reserve_uses)
    assert await house.carry_out(decided("s/a"), decided("s/b")) == ["internal", "internal"]
    assert caplog.text.count("request r1: secret.write failed with WrapLimitReached") == 2
    assert "canary" not in caplog.text


async def test_who_leaves_cuts_nothing_in_two(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies with a transaction under way: that ends first, and what it used counts."""
    commit, ended = house.vault.store.commit_batch, []

    async def slow(changes: Sequence[Any]) -> list[Any]:
        scope.cancel()
        await trio.lowlevel.checkpoint()
        ended.append(await commit(changes))
        return ended[-1]

    monkeypatch.setattr(house.vault.store, "commit_batch", slow)
    with trio.CancelScope() as scope:
        await house.carry_out(decided("s/a"))
    assert len(ended) == 1


async def test_what_it_was_decided_on_must_hold(either: House) -> None:
    """Whether there is a secret; its neighbours are done."""
    assert await either.carry_out(decided("s/a")) == [1]
    ends = await either.carry_out(decided("s/a"), decided("s/b"), decided("s/c", THERE))
    assert ends == ["changed_meanwhile", 1, "changed_meanwhile"]
    assert await either.carry_out(decided("s/a", THERE)) == [2]


async def test_tags_must_be_those_that_were_decided_on(either: House) -> None:
    """Where they have a say; else whether there is a secret is all that counts."""
    assert await either.carry_out(decided("s/a", tags=["x"])) == [1]
    for tags, end in ((frozenset("y"), "changed_meanwhile"), (frozenset("x"), 2)):
        facts = SecretFacts(exists=True, tags=tags)
        assert await either.carry_out(decided("s/a", facts, decisive=True)) == [end]
    assert await either.carry_out(decided("s/a", THERE)) == [3]


@pytest.mark.parametrize(
    ("guess", "payload"),
    [
        (SecretFacts(is_guess=True), {"create_only": True}),
        (SecretFacts(is_guess=True), {"cas": 7}),
        (SecretFacts(is_guess=True), {"tags": ["x"] * 1000}),
        (SecretFacts(exists=True, is_guess=True), {"must_exist": True}),
    ],
)
async def test_a_wrong_guess_is_told_before_anything_else(
    either: House, guess: SecretFacts, payload: dict[str, Any]
) -> None:
    """Whoever is denied what is really asked for is told neither of a version nor of a fault."""
    assert await either.carry_out(decided("s/a")) == [1]
    path = "s/b" if guess.exists else "s/a"
    assert await either.carry_out(decided(path, guess, **payload)) == ["changed_meanwhile"]


async def test_here_what_may_be_stored_is_told_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the transaction are told; what is surely not stored may be asked again."""
    await house.vault.put(secret_id="before")
    lost = BackendError("store_unavailable", "lost", UNKNOWN)
    full = BackendError("store_full", "full")
    for error, told in ((lost, [lost, lost]), (full, None)):

        def write(_: object, error: BackendError = error) -> None:
            raise error

        monkeypatch.setattr(house.vault.backend, "write", write)
        ends = house.mutations.carry_out_here([decided("s/a"), decided("s/b")], until=NO_DEADLINE)
        assert ends == told


async def test_here_what_comes_late_is_not_begun(house: House) -> None:
    """Whoever asked was told so long ago, and may have asked again; nobody else is asked then."""
    await house.vault.put(secret_id="before")
    house.vault.world.advance(10)
    for until, told in ((9.0, ["store_timeout"]), (11.0, None)):
        ends = house.mutations.carry_out_here([decided("s/a")], until=until)
        assert ends is not None
        codes = [end.code for end in ends if isinstance(end, VaultError)]
        assert codes == (told or [])
        assert (await house.vault.barrier.get(SECRETS, "s/a") is None) is (told is not None)


async def test_what_the_loop_has_to_do_is_not_begun_late_either(house: House) -> None:
    """It counts when it would begin; what is in time is done."""
    house.vault.world.advance(10)
    one = [decided("s/a")]
    assert house.mutations.carry_out_here(one, until=9.0) is None
    [late] = await house.mutations.carry_out(one, 9.0)
    assert isinstance(late, VaultError)
    assert (late.code, late.details) == ("store_timeout", {"outcome": "none"})
    assert await house.vault.barrier.get(SECRETS, "s/a") is None
    [done] = await house.mutations.carry_out(one, 11.0)
    assert isinstance(done, SecretWritten)
