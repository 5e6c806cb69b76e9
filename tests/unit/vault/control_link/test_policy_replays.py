"""Questions about candidates: answered once, in numbers, and no more often than is bearable."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import trio

from protocols.link import messages as m
from protocols.link.codec import encode_payload
from protocols.link.limits import MAX_REPLAY_CHANGES
from protocols.link.vocabulary import ReplayOutcome, UndecidedReason
from tests.unit.vault.control_link.samples import TrioWorld, fixed
from vault.control_link import policy_replays as module
from vault.control_link.policy_replays import MAX_PER_HOUR, MAX_WAITING, PolicyReplays
from vault.control_link.usage_reporter import SharingLevel
from vault.errors import ConflictError, UnavailableError, ValidationError
from vault.model.operation import Operation
from vault.model.policy_replay import (
    MAX_CHANGES,
    ConditionFact,
    DecisionChange,
    PolicyReplayReport,
    ReplayPolicies,
    Stop,
    Undecided,
)

MILLI = 10**6
SECRET = "secret/payroll/ann"


def change(number: int = 0, **changes: Any) -> DecisionChange:
    """Something that has names."""
    fields: dict[str, Any] = {
        "allowed": False, "actor_id": "ann", "actor_name": "ann", "operation": "secret.read",
        "capability": "read", "path": SECRET, "rule": "app/rules[0]", "rule_now": "",
        "count": 2, "last": 1, "last_seq": 1, "last_ip": "192.0.2.1",
        "identity": fixed(f"i{number}"), "secret": fixed("s"),
    }  # fmt: skip
    return DecisionChange(**fields | changes)


FOUND = PolicyReplayReport(
    since=1, until=2, reached=1, stopped=Stop.NOTHING, records=9, accesses=8, unchanged=4,
    denied=3, allowed=0, undecided={Undecided.RECORD_CUT: 1}, drifted=2, others=0,
    changes=(
        change(), change(operation="secret.write", count=1, allowed=True), change(1, secret=b""),
    ),
)  # fmt: skip


@dataclass
class Vault:
    """Answers with what is set; `said` is what the control plane is told."""

    world: TrioWorld = field(default_factory=TrioWorld)
    asked: list[ReplayPolicies] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    found: object = FOUND
    slow: float = 1.0
    said: list[m.ReplayResult] = field(default_factory=list)

    async def run(self, op: Operation) -> object:
        """See `vault.seal.manager`."""
        assert (op.name, op.service, op.path) == (
            "policy.replay", "control-plane", "sys/policies-replay",
        )  # fmt: skip
        await trio.sleep(self.slow)
        assert isinstance(op.payload, ReplayPolicies)
        self.asked.append(op.payload)
        if self.faults:
            raise self.faults.pop(0)
        return self.found

    def question(self, name: str = "r", **changes: Any) -> m.PolicyReplay:
        """That has an hour."""
        now = self.world.now() // MILLI
        made = m.PolicyReplay(
            replay_id=fixed(name), rules=(b'{"name":"app"}',), since=now - 1000, until=now,
            expires_at=now + 3_600_000,
        )  # fmt: skip
        return msgspec.structs.replace(made, **changes)

    async def answers(
        self, replays: PolicyReplays, *asked: m.PolicyReplay, seconds: float = 60
    ) -> None:
        """Ask all of them, and give them some time."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(replays.run, self.said.append)
            for one in asked:
                replays.submit(one, self.said.append)
            await trio.sleep(seconds)
            nursery.cancel_scope.cancel()

    @property
    def outcomes(self) -> list[ReplayOutcome]:
        """Of what was said."""
        return [one.outcome for one in self.said]


@pytest.fixture
def vault() -> Vault:
    """On a clock that jumps."""
    return Vault()


def replays(vault: Vault, share: SharingLevel = SharingLevel.AGGREGATES) -> PolicyReplays:
    """Of this vault."""
    return PolicyReplays(vault.run, share, vault.world)


async def test_numbers_are_told_and_names_stay(vault: Vault, autojump_clock: object) -> None:
    """The candidate is asked for as the agent's bundle; no path, name or address leaves."""
    question = vault.question()
    vault.found = msgspec.structs.replace(FOUND, changes=())
    await vault.answers(replays(vault), question)
    (asked,) = vault.asked
    assert (asked.bundle, asked.write, asked.delete) == (({"name": "app"},), (), ())
    assert (asked.since, asked.until) == (question.since * MILLI, question.until * MILLI)
    assert (asked.limit, asked.opaque) == (0, False)
    (told,) = vault.said
    assert (told.denied, told.allowed, told.unchanged, told.drifted) == (3, 0, 4, 2)
    assert told.undecided == (m.UndecidedCount(reason=UndecidedReason.RECORD_CUT, count=1),)
    assert (told.changes, told.reached) == ((), question.since)
    assert encode_payload(told)


async def test_opaque_ids_if_the_owner_lets_them_out(vault: Vault, autojump_clock: object) -> None:
    """Added up by identity and secret; still no name."""
    await vault.answers(replays(vault, SharingLevel.OPAQUE), vault.question())
    assert (vault.asked[0].limit, vault.asked[0].opaque) == (MAX_CHANGES, True)
    (told,) = vault.said
    assert told.changes == (
        m.ReplayChange(identity=fixed("i0"), secret=fixed("s"), denied=2, allowed=1),
        m.ReplayChange(identity=fixed("i1"), secret=bytes(16), denied=2, allowed=0),
    )
    payload = encode_payload(told)
    assert all(name not in payload for name in (b"payroll", b"ann", b"app", b"192.0.2"))


async def test_changes_are_bounded(vault: Vault, autojump_clock: object) -> None:
    """The most frequent are told."""
    many = tuple(change(i, count=i + 1) for i in range(MAX_REPLAY_CHANGES + 6))
    vault.found = msgspec.structs.replace(FOUND, changes=many)
    await vault.answers(replays(vault, SharingLevel.OPAQUE), vault.question())
    (told,) = vault.said
    assert len(told.changes) == MAX_REPLAY_CHANGES
    assert min(one.denied for one in told.changes) == 7


async def test_an_owner_can_refuse_them_all(vault: Vault, autojump_clock: object) -> None:
    """At once, and nothing is looked at."""
    await vault.answers(replays(vault, SharingLevel.OFF), vault.question())
    assert vault.outcomes == [ReplayOutcome.REFUSED]
    assert vault.asked == []


async def test_asked_again_it_is_worked_on_once(vault: Vault, autojump_clock: object) -> None:
    """While it waits, and after it was answered, as when the connection was lost in between."""
    machine = replays(vault)
    await vault.answers(machine, vault.question(), vault.question())
    assert (len(vault.asked), vault.outcomes) == (1, [ReplayOutcome.DONE])
    await vault.answers(machine, vault.question())
    assert (len(vault.asked), len(vault.said)) == (1, 2)
    assert vault.said[0] == vault.said[1]


@pytest.mark.parametrize("rule", [b"[]", b"{", b"\xff\xff", b"[" * 5000])
async def test_what_is_no_document_is_invalid(
    vault: Vault, autojump_clock: object, rule: bytes
) -> None:
    """Without a look at the record."""
    await vault.answers(replays(vault), vault.question(rules=(rule,)))
    assert vault.outcomes == [ReplayOutcome.INVALID]
    assert vault.asked == []


async def test_a_time_beyond_all_records_is_the_last_there_is(
    vault: Vault, autojump_clock: object
) -> None:
    """The link has milliseconds up to 2^63, the records nanoseconds up to that."""
    await vault.answers(replays(vault), vault.question(since=0, until=2**63 - 1))
    assert [(one.since, one.until) for one in vault.asked] == [(1, 2**63 - 1)]
    assert vault.outcomes == [ReplayOutcome.DONE]


async def test_what_cannot_be_done_is_told(vault: Vault, autojump_clock: object) -> None:
    """A document that is not understood, a sealed vault; the latter may be asked again."""
    machine = replays(vault)
    vault.faults = [ValidationError("policy_invalid", "x"), UnavailableError("sealed", "x")]
    await vault.answers(machine, vault.question("a"), vault.question("b"))
    assert vault.outcomes == [ReplayOutcome.INVALID, ReplayOutcome.UNAVAILABLE]
    await vault.answers(machine, vault.question("b"))
    assert vault.outcomes[-1] is ReplayOutcome.DONE


async def test_while_somebody_elses_runs_it_waits(vault: Vault, autojump_clock: object) -> None:
    """Until nobody wants to know any more."""
    busy = ConflictError("replay_running", "x")
    vault.faults = [busy, busy]
    await vault.answers(replays(vault), vault.question("a"))
    assert (len(vault.asked), vault.outcomes) == (3, [ReplayOutcome.DONE])
    vault.faults = [busy] * 1000
    soon = vault.world.now() // MILLI + 10_000
    await vault.answers(replays(vault), vault.question("b", expires_at=soon))
    assert vault.outcomes[-1] is ReplayOutcome.EXPIRED


async def test_they_are_bounded(
    vault: Vault, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In those that wait, those an hour, and the answers that are kept."""
    machine = replays(vault)
    many = [vault.question(str(i)) for i in range(MAX_WAITING + 1)]
    await vault.answers(machine, *many)
    assert vault.outcomes == [ReplayOutcome.TOO_MANY] + [ReplayOutcome.DONE] * MAX_WAITING
    more = [vault.question(f"more {i}") for i in range(MAX_PER_HOUR)]
    for one in more:
        await vault.answers(machine, one, seconds=5)
    done = vault.outcomes.count(ReplayOutcome.DONE)
    assert done == MAX_PER_HOUR
    await trio.sleep(3600)
    await vault.answers(machine, vault.question("an hour later"))
    assert vault.outcomes[-1] is ReplayOutcome.DONE
    monkeypatch.setattr(module, "MAX_REMEMBERED", 1)
    machine, asked = replays(vault), len(vault.asked)
    for name in ("x", "y", "y", "x"):
        await vault.answers(machine, vault.question(name), seconds=5)
    assert len(vault.asked) == asked + 3  # of `x` the answer was forgotten


@pytest.mark.parametrize("facts", [(), (ConditionFact.TAGS,), tuple(ConditionFact)])
async def test_candidates_are_decided_by_what_the_owner_lets_out(
    facts: tuple[ConditionFact, ...], vault: Vault, autojump_clock: object
) -> None:
    """Nothing, unless the owner says what."""
    limited = PolicyReplays(vault.run, SharingLevel.AGGREGATES, vault.world, facts)
    await vault.answers(limited, vault.question())
    assert vault.asked[0].facts == frozenset(facts)
