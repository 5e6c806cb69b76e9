"""`/api/v1/batch`: each item by itself, bounds on all of them together."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing

from actors.pacer import SLICE
from vault.edge.native.batch import MAX_CONCURRENT, MAX_CONCURRENT_TOTAL, MAX_ITEMS
from vault.errors import (
    AuthenticationError,
    ConflictError,
    RateLimitError,
    UnavailableError,
    VaultError,
)
from vault.model.operation import Operation
from vault.model.payloads import MAX_RESULT_BYTES, MalformedRequest
from vault.model.records import SecretRow, VersionRow
from vault.model.results import SecretValue, SecretWritten

UNKNOWN = AuthenticationError("unauthenticated", "permission denied")


def secret(op: Operation) -> SecretRow:
    """The head that an operation is about."""
    return SecretRow(
        name=op.path, id="s", current_version=1, created_at=1, updated_at=1, created_by="u"
    )


def version(**fields: Any) -> VersionRow:
    """Its first version."""
    row = {"wrapped_dek": b"", "box": b"", "kek_generation": 1, "created_at": 1, "created_by": "u"}
    return VersionRow(secret_id="s", version=1, **{**row, **fields})


def value(op: Operation, content: bytes | None = b'"v"') -> SecretValue:
    """What a read answers."""
    return SecretValue(secret=secret(op), version=version(), value=content)


class Gate:
    """Answers each operation by the end of its path, all that are under way at once."""

    def __init__(self) -> None:
        self.by_name: dict[str, VaultError] = {}
        self.of_all: VaultError | None = None
        self.content: bytes | None = b'"v"'
        self.metadata: dict[str, str] = {}
        self.ops: list[Operation] = []
        self.most = 0
        self.may = trio.Event()
        self.may.set()
        self._now = 0

    async def knows(self, *_: object) -> bool:
        """It is."""
        return True

    async def catch_up(self) -> None:
        """Nobody else commits."""

    async def run_operation(self, op: Operation) -> object:
        """One operation."""
        if isinstance(op.payload, MalformedRequest):
            raise op.payload.error
        self.ops.append(op)
        self._now += 1
        self.most = max(self.most, self._now)
        await self.may.wait()
        self._now -= 1
        error = self.of_all or self.by_name.get(op.path.rpartition("/")[2])
        if error is not None:
            raise error
        if op.name == "secret.read":
            found = value(op, self.content)
            found.secret.metadata.update(self.metadata)
            return found
        written = secret(op)
        written.metadata.update(self.metadata)
        return SecretWritten(secret=written, version=version())


@pytest.fixture
def gate(wire: Any) -> Gate:
    """Behind the wire."""
    wire.gate = Gate()
    gate: Gate = wire.gate
    return gate


def names(count: int) -> list[str]:
    """Of as many secrets."""
    return [f"secret/{i}" for i in range(count)]


async def test_side_by_side_within_a_bound(wire: Any, gate: Gate) -> None:
    """Many are under way at once, so that they share an fsync; never more than the bound."""
    reply = await wire.ask("POST", "batch/read", {"names": names(MAX_ITEMS)})
    assert reply.status == 200
    assert gate.most == MAX_CONCURRENT
    assert len(gate.ops) == MAX_ITEMS


async def test_what_takes_long_lets_others_in_between(
    wire: Any, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decisions by intricate policies: one slice of them a turn, however many are under way."""
    run, turns = gate.run_operation, [0]

    async def slow(op: Operation) -> object:
        wire.world.advance(SLICE * 1.01)
        return await run(op)

    async def other() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            turns.append(len(gate.ops))

    monkeypatch.setattr(gate, "run_operation", slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        reply = await wire.ask("POST", "batch/read", {"names": names(300)})
        nursery.cancel_scope.cancel()
    assert reply.status == 200
    assert len(gate.ops) == 300
    assert max(b - a for a, b in pairwise(turns)) <= 3


async def test_many_requests_share_what_is_under_way(wire: Any, gate: Gate) -> None:
    """Each has its part of it, however many there are; what one had is there for the next."""
    gate.may = trio.Event()
    counts: list[int] = []
    async with trio.open_nursery() as nursery:
        for _ in range(300):
            nursery.start_soon(wire.ask, "POST", "batch/read", {"names": names(200)})
            await trio.testing.wait_all_tasks_blocked()
            counts.append(len(gate.ops) - sum(counts))
        gate.may.set()
    assert counts[:5] == [
        MAX_CONCURRENT,
        MAX_CONCURRENT,
        MAX_CONCURRENT_TOTAL // 3,
        MAX_CONCURRENT_TOTAL // 4,
        51,
    ]
    assert counts[255:] == [1] * 45
    gate.ops.clear()
    gate.may = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.ask, "POST", "batch/read", {"names": names(200)})
        await trio.testing.wait_all_tasks_blocked()
        assert len(gate.ops) == MAX_CONCURRENT
        gate.may.set()


async def test_a_name_twice(wire: Any, gate: Gate) -> None:
    """Is read twice; to write it twice has no order and is refused before anything is written."""
    reply = await wire.ask("POST", "batch/read", {"names": ["secret/a", "secret/a"]})
    assert (reply.status, len(gate.ops)) == (200, 2)
    twice = [{"name": "secret/a", "value": 1}, {"name": "secret/a", "value": 2}]
    reply = await wire.ask("POST", "batch/write", {"secrets": twice})
    assert (reply.status, json.loads(reply.body)["code"]) == (400, "batch_duplicate")
    assert len(gate.ops) == 2


async def test_writes(wire: Any, gate: Gate) -> None:
    """What an item says is written; what it leaves out stays; no value is answered."""
    items = [
        {"name": "secret/a", "value": {"b": 1.10}, "cas": 0, "tags": ["t"], "metadata": {"k": "v"}},
        {"name": "secret/b", "value": None, "expires_at": ""},
        {"name": "secret/c", "value": 1, "expires_at": "tomorrow"},
        {"name": "secret/d", "value": 1, "cas": 7},
    ]
    gate.by_name = {"d": ConflictError("cas_mismatch", "not the current version")}
    reply = await wire.ask("POST", "batch/write", {"secrets": items})
    told = json.loads(reply.body)
    assert reply.status == 207
    assert [item["status"] for item in told["results"]] == [200, 200, 400, 409]
    assert told["results"][2]["error"]["code"] == "time_invalid"
    assert "value" not in told["results"][0]["secret"]
    assert {op.name for op in gate.ops} == {"secret.write"}
    by_name: dict[str, Any] = {str(op.path): op.payload for op in gate.ops}
    first, second = by_name["secret/a"], by_name["secret/b"]
    assert (json.loads(first.value), first.cas, first.tags) == ({"b": 1.1}, 0, ["t"])
    assert (first.metadata, first.expires_at) == ({"k": "v"}, None)
    assert (second.value, second.cas, second.tags, second.expires_at) == (b"null", None, None, 0)
    assert not first.create_only
    assert not first.must_exist


async def test_answer_is_bounded(wire: Any, gate: Gate) -> None:
    """When the values have reached the bound, no more are read, and that is told of each."""
    gate.content = b'"' + b"x" * (MAX_RESULT_BYTES // 10) + b'"'
    reply = await wire.ask("POST", "batch/read", {"names": names(MAX_ITEMS)})
    told = json.loads(reply.body)
    assert reply.status == 207
    assert len(reply.body) < MAX_RESULT_BYTES + 1_000 * MAX_ITEMS
    done = [item for item in told["results"] if item["status"] == 200]
    refused = [item for item in told["results"] if item["status"] == 413]
    assert (len(done), len(refused)) == (9, MAX_ITEMS - 9)
    assert {item["error"]["code"] for item in refused} == {"answer_full"}
    assert len(gate.ops) <= 2 * MAX_CONCURRENT


LARGEST = {f"{i:03}" + '"' * 125: '"' * 512 for i in range(64)}  # of metadata, as it is sent


async def test_what_is_beside_a_value_counts(wire: Any, gate: Gate) -> None:
    """One name a thousand times, its metadata as large as can be: the answer is as bounded."""
    gate.metadata = LARGEST
    reply = await wire.ask("POST", "batch/read", {"names": ["secret/a"] * MAX_ITEMS})
    told = json.loads(reply.body)
    assert len(reply.body) < MAX_RESULT_BYTES + 1_000 * MAX_ITEMS
    assert {item["status"] for item in told["results"]} == {200, 413}
    assert told["failed"] > MAX_ITEMS - 110


async def test_a_write_that_could_not_be_told_is_not_begun(wire: Any, gate: Gate) -> None:
    """What was under way when the answer was full is told; what comes after was not written."""
    gate.metadata = LARGEST
    items = [{"name": name, "value": 1} for name in names(MAX_ITEMS)]
    reply = await wire.ask("POST", "batch/write", {"secrets": items})
    told = json.loads(reply.body)
    assert len(reply.body) < MAX_RESULT_BYTES + MAX_CONCURRENT * 90_000 + 1_000 * MAX_ITEMS
    done = [item for item in told["results"] if item["status"] == 200]
    assert len(done) == len(gate.ops) < 2 * MAX_CONCURRENT + 110
    codes = {item["error"]["code"] for item in told["results"] if item["status"] == 413}
    assert (codes, len(done) + told["failed"]) == ({"answer_full"}, MAX_ITEMS)


@pytest.mark.parametrize(
    "error",
    [UNKNOWN, UnavailableError("sealed", "Vault is sealed"), RateLimitError("rate_limited", "x")],
)
async def test_what_is_no_items_own(wire: Any, gate: Gate, error: VaultError) -> None:
    """A refusal of the whole is the request's, with its own status and headers."""
    gate.of_all = error
    reply = await wire.ask("POST", "batch/read", {"names": names(3)})
    assert (reply.status, json.loads(reply.body)["code"]) == (error.status, error.code)


async def test_what_may_be_done_of_some_is_told_of_each(wire: Any, gate: Gate) -> None:
    """One word for all would have a client repeat what another item may have done already."""
    undone = UnavailableError("store_unavailable", "x")
    gate.by_name = {"0": undone, "1": UnavailableError("store_unavailable", "x", outcome="unknown")}
    items = [{"name": name, "value": 1} for name in names(2)]
    reply = await wire.ask("POST", "batch/write", {"secrets": items})
    told = [item["error"].get("details", {}) for item in json.loads(reply.body)["results"]]
    assert (reply.status, told) == (207, [{}, {"outcome": "unknown"}])


async def test_an_unknown_credential_is_asked_for_once(wire: Any, gate: Gate) -> None:
    """It is not tried, and put on record, a thousand times."""
    gate.of_all = UNKNOWN
    await wire.ask("POST", "batch/read", {"names": names(MAX_ITEMS)})
    assert len(gate.ops) == MAX_CONCURRENT


async def test_a_credential_that_ends(wire: Any, gate: Gate) -> None:
    """What was done stays told; what comes after is refused without being tried."""
    gate.by_name = {"5": UNKNOWN}
    reply = await wire.ask("POST", "batch/read", {"names": names(MAX_ITEMS)})
    told = json.loads(reply.body)
    assert reply.status == 207
    assert [item["status"] for item in told["results"][:6]] == [200] * 5 + [401]
    assert told["failed"] == sum(item["status"] == 401 for item in told["results"])
    assert len(gate.ops) < 2 * MAX_CONCURRENT + 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("batch/read", {"names": []}),
        ("batch/read", {"names": names(MAX_ITEMS + 1)}),
        ("batch/read", {"names": [""]}),
        ("batch/read", {"names": ["secret/a"], "version": 1}),
        ("batch/read", {}),
        ("batch/write", {"secrets": []}),
        ("batch/write", {"secrets": [{"name": "secret/a"}]}),
        ("batch/write", {"secrets": [{"name": "secret/a", "value": 1, "cas": -1}]}),
    ],
)
async def test_bounds(wire: Any, gate: Gate, path: str, body: object) -> None:
    """At least one item, at most a thousand, each as it is documented; else nothing is done."""
    reply = await wire.ask("POST", path, body)
    assert reply.status == 400
    assert not gate.ops


async def test_a_fault_is_not_an_items_answer(
    wire: Any, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody expected is the agent's fault, and told as such."""

    async def broken(_op: Operation) -> object:
        raise RuntimeError("canary")

    run: Callable[..., Any] = broken
    monkeypatch.setattr(gate, "run_operation", run)
    reply = await wire.ask("POST", "batch/read", {"names": names(2)})
    assert (reply.status, json.loads(reply.body)["code"]) == (500, "internal")
    assert b"canary" not in reply.body
