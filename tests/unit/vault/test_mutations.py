"""Tests of what is carried out for other processes: steps 3 to 6, of many at a time."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from msgspec.structs import replace

from tests.unit.vault.conftest import Vault
from vault.audit.draft import Draft, draft_event
from vault.audit.hashing import ValueHasher
from vault.audit.record import AuditEvent
from vault.audit.testing import make_keys
from vault.audit.writer import AuditConfig, unavailable
from vault.authz.access import Decision
from vault.barrier import SECRETS, VERSIONS
from vault.errors import ConflictError, TamperedError, UnavailableError, VaultError
from vault.handlers.access import AccessCounters
from vault.handlers.handler import Call
from vault.handlers.secrets import Secrets
from vault.metrics import Metrics
from vault.model.identity import Identity, Method, Permission
from vault.model.mounts import MountBook
from vault.model.operation import NO_FACTS, Facts, Operation, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import WriteSecret
from vault.model.records import SecretRow
from vault.model.results import Written
from vault.mutations import SECONDS, WRITE, Decided, Mutations, mutating
from vault.store.store import COMMIT_SECONDS
from vault.trail import Trail

HASHER = ValueHasher(make_keys().mac)
THERE = Facts(exists=True)
ANN = Identity(id="u1", name="ann", method=Method.TOKEN, policies=("p",), credential="acc1")


class FakeAudit:
    """Keeps what it is given in one diary, or refuses it."""

    def __init__(self) -> None:
        self.frames: list[list[str]] = []
        self.full = False
        self.refuse: Callable[[list[str]], bool] = lambda _: False
        self.look: Callable[[list[str]], object] = lambda _: None

    def is_on_reserve(self) -> bool:
        """Whether the disk is full."""
        return self.full

    def draft(self, event: AuditEvent) -> Draft:
        """As the broker's."""
        return draft_event(event, 7, HASHER)

    async def record_together(self, drafts: list[Draft]) -> None:
        """Note path, phase, result and code of each."""
        bodies = [msgspec.json.decode(draft.body) for draft in drafts]
        frame = [
            " ".join(filter(None, (b["path"], b["phase"], b["result"], b.get("code"))))
            for b in bodies
        ]
        await trio.lowlevel.checkpoint()
        self.look(frame)
        if self.refuse(frame):
            raise unavailable()
        self.frames.append(frame)


class House:
    """What mutations are carried out in."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.audit = FakeAudit()
        self.metrics = Metrics()
        self.secrets = Secrets(
            vault.barrier, MountBook(), AccessCounters(vault.barrier, vault.world), vault.world
        )
        self.followed = 0
        self.unreadable: VaultError | None = None
        self.mutations: Mutations

    async def follow(self) -> None:
        """Make current what is held."""
        await trio.lowlevel.checkpoint()
        self.followed += 1
        if self.unreadable is not None:
            raise self.unreadable

    def decided(self, path: str, *, exists: bool = False, **more: Any) -> Decided:
        """A write that ann may do, as a worker sends it."""
        fields: dict[str, Any] = {"value": b'{"a":1}'} | more
        op = Operation(
            name=WRITE, path=ResourcePath.parse(path), payload=WriteSecret(**fields),
            request_id="r1", credential="s.text", origin=Origin(ip="10.0.0.1"),
        )  # fmt: skip
        trail = Trail(op, self.secrets.handlers()[WRITE])
        trail.identity, trail.capability = ANN, "update" if exists else "create"
        trail.decision = Decision(allowed=True, rule="p/rules[0]")
        call = Call(op, ANN, Facts(exists=True) if exists else NO_FACTS)
        decided = Decided.of(trail, call, self.audit.draft(trail.intent()))
        wire = msgspec.msgpack.encode(decided)
        return msgspec.msgpack.decode(wire, type=Decided)

    async def carry_out(self, *decided: Decided) -> list[Any]:
        """Of each the number of the version, the code of the error, or None."""
        ends = await self.mutations.carry_out(decided)
        return [
            end.version.version if isinstance(end, Written) else end and end.code for end in ends
        ]

    def counts(self) -> dict[str, int]:
        """Operations by status."""
        return {status: count for _, status, count in self.metrics.drain()[0]}


@asynccontextmanager
async def housed(vault: Vault) -> AsyncIterator[House]:
    """One whose mutations run."""
    house = House(vault)
    audit: Any = house.audit
    world, follow = vault.world, house.follow
    async with mutating(house.secrets, audit, house.metrics, world, follow) as house.mutations:
        yield house


@pytest.fixture
async def house(vault: Vault) -> AsyncIterator[House]:
    """The same."""
    async with housed(vault) as made:
        yield made


async def test_each_step_once_for_all(house: House) -> None:
    """Intents are recorded before anything changes, outcomes after it; ends are in order."""
    there: list[bool] = []
    house.audit.look = lambda _: there.append(
        isinstance(house.vault.store.cached(SECRETS, "s/a"), SecretRow)
    )
    assert await house.carry_out(house.decided("s/a"), house.decided("s/b")) == [1, 1]
    assert house.audit.frames == [
        ["s/a intent ok", "s/b intent ok"], ["s/a outcome ok", "s/b outcome ok"],
    ]  # fmt: skip
    assert there == [False, True]
    assert house.counts() == {"ok": 2}
    head = await house.vault.barrier.get(SECRETS, "s/a")
    assert head is not None
    assert head.created_by == "ann"
    version = await house.vault.barrier.get(VERSIONS, head.id, 1)
    assert version is not None
    assert house.vault.barrier.open_value(version) == b'{"a":1}'


async def test_what_is_sent_is_what_step_3_needs(house: House) -> None:
    """Nothing of the credential, the certificate or what the caller may do."""
    op = Operation(
        name=WRITE, path=ResourcePath.parse("s/a"), payload=WriteSecret(value=b"{}"),
        request_id="r1", credential="s.text",
        origin=Origin(ip="10.0.0.1", peer_certificate=b"DER"),
    )  # fmt: skip
    trail = Trail(op, house.secrets.handlers()[WRITE])
    permission = Permission(capabilities=("create",), paths=("s/*",))
    trail.identity = replace(ANN, permissions=(permission,))
    trail.capability, trail.decisive = "create", True
    sent = Decided.of(
        trail, Call(op, trail.identity, THERE, decisive=True), Draft(1, "event", b"x")
    )
    assert b"s.text" not in msgspec.msgpack.encode(sent)
    run = sent.resumed(trail.handler)
    assert run.call.op == replace(op, credential=None, origin=Origin(ip="10.0.0.1"))
    assert run.call.identity == replace(ANN, policies=())
    assert (run.call.facts, run.call.decisive) == (THERE, True)
    assert (run.trail.capability, run.trail.decisive) == ("create", True)
    assert run.intent == Draft(1, "event", b"x")


async def test_without_an_intent_nothing_changes(house: House) -> None:
    """All are refused, and that is recorded if it can be."""
    house.audit.refuse = lambda frame: "intent" in frame[0]
    assert await house.carry_out(house.decided("s/a")) == ["audit_unavailable"]
    assert house.audit.frames == [["s/a outcome failed audit_unavailable"]]
    assert await house.vault.barrier.get(SECRETS, "s/a") is None
    assert house.counts() == {"unavailable": 1}


async def test_on_a_full_disk_nothing_is_begun(house: House) -> None:
    """Only the refusal takes from the reserve."""
    house.audit.full = True
    assert await house.carry_out(house.decided("s/a")) == ["audit_unavailable"]
    assert house.audit.frames == [["s/a outcome failed audit_unavailable"]]
    assert await house.vault.barrier.get(SECRETS, "s/a") is None


async def test_one_that_fails_fails_alone(house: House) -> None:
    """Its neighbours are written; each is told and recorded as it ended."""
    large = house.decided("s/c", value=b'"%s"' % (b"0" * (1 << 21)))
    asked = house.decided("s/a"), house.decided("s/b", cas=7), large
    assert await house.carry_out(*asked) == [1, "cas_mismatch", "value_too_large"]
    assert house.audit.frames[1] == [
        "s/a outcome ok", "s/b outcome failed cas_mismatch", "s/c outcome failed value_too_large",
    ]  # fmt: skip
    assert house.counts() == {"ok": 1, "conflict": 1, "validation": 1}


async def test_what_was_done_without_a_record_is_told_as_done(house: House) -> None:
    """One that failed is told what its record was refused with."""
    house.audit.refuse = lambda frame: "outcome" in frame[0]
    ends = await house.mutations.carry_out([house.decided("s/a"), house.decided("s/b", cas=7)])
    assert [end.code for end in ends if isinstance(end, VaultError)] == [
        "outcome_unrecorded", "audit_unavailable",
    ]  # fmt: skip
    assert await house.vault.barrier.get(SECRETS, "s/a") is not None


async def test_what_the_store_does_not_know_is_unknown(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the transaction are told so, also when that cannot be recorded."""
    late = UnavailableError("store_timeout", "late", outcome="unknown")

    async def commit(*_: object, **__: object) -> list[object]:
        await trio.lowlevel.checkpoint()
        raise late

    monkeypatch.setattr(house.vault.store, "commit_together", commit)
    assert await house.mutations.carry_out([house.decided("s/a")]) == [late]
    assert house.audit.frames[1] == ["s/a outcome failed store_timeout"]
    house.audit.refuse = lambda frame: "outcome" in frame[0]
    [end] = await house.mutations.carry_out([house.decided("s/a")])
    assert isinstance(end, UnavailableError)
    assert (end.code, end.details) == ("audit_unavailable", {"outcome": "unknown"})


async def test_a_fault_is_told_as_ours(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Under the request's id, without its text."""
    object.__setattr__(house.secrets, "mounts", None)
    assert await house.carry_out(house.decided("s/a")) == ["internal"]
    assert "request r1: secret.write failed with AttributeError" in caplog.text
    assert house.audit.frames[1] == ["s/a outcome failed internal"]


async def test_what_does_not_hold_is_not_begun(house: House) -> None:
    """It leaves no record, and its neighbours are done."""
    assert await house.carry_out(house.decided("s/a")) == [1]
    house.audit.frames.clear()
    asked = house.decided("s/a"), house.decided("s/b"), house.decided("s/c", exists=True)
    assert await house.carry_out(*asked) == [None, 1, None]
    assert [line for frame in house.audit.frames for line in frame] == [
        "s/b intent ok", "s/b outcome ok",
    ]  # fmt: skip
    assert await house.carry_out(house.decided("s/a", exists=True)) == [2]


async def test_tags_must_be_those_that_were_decided_on(house: House) -> None:
    """Where they have a say; else whether there is a secret is all that counts."""
    assert await house.carry_out(house.decided("s/a", tags=["x"])) == [1]
    plain = house.decided("s/a", exists=True)
    for tags, end in ((frozenset("y"), None), (frozenset("x"), 2)):
        facts = Facts(exists=True, tags=tags)
        decisive = replace(plain, decisive=True, facts=facts)
        assert await house.carry_out(decisive) == [end]
    assert await house.carry_out(plain) == [3]


async def test_a_row_that_cannot_be_read_is_for_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever does the request whole is told, and it is recorded there."""

    async def get(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise TamperedError("row_tampered", "a row fails its authentication")

    monkeypatch.setattr(house.vault.barrier, "get", get)
    assert await house.carry_out(house.decided("s/a")) == [None]
    assert house.audit.frames == []


async def test_what_is_held_is_made_current_first(house: House) -> None:
    """Where it cannot be, nothing is begun: whoever does the request whole is told why."""
    assert await house.carry_out(house.decided("s/a"), house.decided("s/b")) == [1, 1]
    assert house.followed == 1
    house.audit.frames.clear()
    house.unreadable = TamperedError("row_tampered", "a row fails its authentication")
    assert await house.carry_out(house.decided("s/c")) == [None]
    assert house.audit.frames == []


async def test_two_that_make_one_secret(house: House) -> None:
    """One makes it; the other one was allowed to create it, and it is there."""
    asked = house.decided("s/a"), house.decided("s/a")
    assert await house.carry_out(*asked) == [1, "changed_meanwhile"]
    ends = await house.mutations.carry_out([house.decided("s/a", exists=True, cas=0)])
    assert isinstance(ends[0], ConflictError)


async def test_what_comes_meanwhile_is_one_batch(house: House) -> None:
    """While one list is under way others gather; the end of it and their intents are one moment."""
    held, done = trio.Event(), []
    record = house.audit.record_together

    async def slowly(drafts: list[Draft]) -> None:
        if not house.audit.frames:
            await held.wait()
        await record(drafts)

    house.audit.record_together = slowly  # type: ignore[method-assign]  # a slow disk

    async def write(name: str) -> None:
        done.append(await house.carry_out(house.decided(name)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, "s/a")
        await trio.testing.wait_all_tasks_blocked()
        for name in ("s/b", "s/c"):
            nursery.start_soon(write, name)
        await trio.testing.wait_all_tasks_blocked()
        held.set()
    assert done == [[1]] * 3
    assert sorted(map(len, house.audit.frames)) == [1, 1, 1, 1, 2]


async def test_who_leaves_cuts_nothing_in_two(house: House) -> None:
    """It is done, and its outcome is on record."""
    with trio.CancelScope() as scope:
        house.audit.look = lambda frame: "intent" in frame[0] and scope.cancel()
        await house.carry_out(house.decided("s/a"))
    assert house.audit.frames == [["s/a intent ok"], ["s/a outcome ok"]]


async def test_what_was_cut_off_may_be_done(
    house: House, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """What the executor has begun is unknown; what waits behind it was not begun, and is no more.

    The log has the same.
    """
    ends: list[list[Any]] = []

    async def commit(*_: object, **__: object) -> list[object]:
        await trio.sleep(SECONDS + 1.0)
        return [None]

    monkeypatch.setattr(house.vault.store, "commit_together", commit)

    async def write(name: str) -> None:
        ends.append(await house.carry_out(house.decided(name)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, "s/a")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(write, "s/b")
    assert sorted(ends, key=str) == [["write_cut_off"], [None]]
    assert house.audit.frames == [["s/a intent ok"], ["s/a outcome failed write_cut_off"]]


async def test_what_is_under_way_ends_before_the_block_does(vault: Vault) -> None:
    """However long the disk takes, within the bounds of log and store; nothing is cut off."""
    ends: list[Any] = []
    async with trio.open_nursery() as nursery, housed(vault) as house:
        slow = trio.Event()
        record = house.audit.record_together

        async def slowly(drafts: list[Draft]) -> None:
            await slow.wait()
            await record(drafts)

        house.audit.record_together = slowly  # type: ignore[method-assign]  # a slow disk

        async def write() -> None:
            ends.extend(await house.carry_out(house.decided("s/a")))

        async def end() -> None:
            await trio.testing.wait_all_tasks_blocked()
            slow.set()

        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(end)
    assert ends == [1]
    assert 2 * (AuditConfig().deadline + 2 * COMMIT_SECONDS) < SECONDS
