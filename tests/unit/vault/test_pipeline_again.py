"""Tests of step 4 where what step 2 had decided on is not so: it is decided again."""

from dataclasses import replace

import pytest
import trio
from msgspec import structs

from tests.unit.vault.test_pipeline import SECRET, Parts, op
from vault.authz.access import Decision
from vault.errors import AuthorizationError, ConflictError
from vault.handlers.handler import CHANGED_MEANWHILE, Call, Handler, create_or_update
from vault.model.operation import Capability, OperationType, SecretFacts
from vault.model.records import SecretRow
from vault.pipeline import MAX_DECISIONS

NOT_SO = ConflictError(CHANGED_MEANWHILE, "the secret was changed meanwhile; try again")


@pytest.fixture
def parts() -> Parts:
    """Everything allowed, nothing stored."""
    return Parts()


def upsert(parts: Parts, changes: int = 1) -> Handler:
    """One that finds so many times that what was decided on is not so."""
    left = [NOT_SO] * changes

    async def run(call: Call) -> SecretFacts:
        await trio.lowlevel.checkpoint()
        parts.diary.append("handle")
        if left:
            raise left.pop()
        return call.facts

    return Handler(
        OperationType("op"), run=run, capability=create_or_update, mutates=True, targets_secret=True
    )


async def test_what_came_meanwhile_is_decided_on_again(parts: Parts) -> None:
    """On what is so, under the one intent; the outcome has what was allowed in the end."""
    made = parts.pipeline(op=upsert(parts))
    assert await made.run_operation(op()) == SecretFacts(exists=True)
    assert parts.diary[3:] == [
        "decide create", "intent ok", "handle", "decide update", "handle", "outcome ok",
    ]  # fmt: skip
    assert [event.capability for event in parts.events] == ["create", "update"]
    assert parts.counts == [("op", "ok")]


async def test_what_went_meanwhile_is_decided_on_again(parts: Parts) -> None:
    """And what came again after that."""
    parts.row = SECRET
    assert await parts.pipeline(op=upsert(parts, 2)).run_operation(op()) == SecretFacts(exists=True)
    assert [access.capability for access in parts.accesses] == ["update", "create", "update"]
    assert parts.diary.count("intent ok") == 1


async def test_whoever_meets_another_change_each_time_is_told(parts: Parts) -> None:
    """It is tried a few times and not for ever; the failure is on record."""
    made = parts.pipeline(op=upsert(parts, MAX_DECISIONS - 1))
    assert await made.run_operation(op()) == SecretFacts(exists=bool((MAX_DECISIONS - 1) % 2))
    parts.diary.clear()
    with pytest.raises(ConflictError, match="changed_meanwhile"):
        await parts.pipeline(op=upsert(parts, MAX_DECISIONS)).run_operation(op())
    assert parts.diary.count("handle") == MAX_DECISIONS
    assert parts.diary[-1] == "outcome failed"


async def test_another_conflict_is_told_at_once(parts: Parts) -> None:
    """It is what the caller asked about."""

    async def run(_call: Call) -> None:
        await trio.lowlevel.checkpoint()
        parts.diary.append("handle")
        raise ConflictError("cas_mismatch", "another version")

    with pytest.raises(ConflictError, match="cas_mismatch"):
        await parts.pipeline(op=replace(upsert(parts), run=run)).run_operation(op())
    assert parts.diary.count("handle") == 1


async def test_what_is_so_may_be_denied(parts: Parts) -> None:
    """Nothing is done then, and the denial is on record."""
    parts.decide_ = lambda access: Decision(allowed=access.capability is Capability.CREATE)
    with pytest.raises(AuthorizationError):
        await parts.pipeline(op=upsert(parts)).run_operation(op())
    assert parts.diary[4:] == ["intent ok", "handle", "decide update", "outcome denied"]


async def test_tags_that_have_changed_are_looked_up(parts: Parts) -> None:
    """Where they decide, they are looked up and decided on as they are by then, and must hold."""
    parts.facts_needed, parts.row = True, SECRET
    made, seen = upsert(parts), list[Call]()

    async def run(call: Call) -> object:
        seen.append(call)
        parts.row = tagged("new")
        return await made.run(call)

    assert await parts.pipeline(op=replace(made, run=run)).run_operation(op()) == seen[-1].facts
    assert [(call.needs_facts, set(call.facts.tags)) for call in seen] == [
        (True, {"old"}), (True, {"new"}),
    ]  # fmt: skip
    parts.row, made = SECRET, upsert(parts)
    parts.decide_ = lambda access: Decision(allowed="new" not in access.facts.tags)
    with pytest.raises(AuthorizationError):
        await parts.pipeline(op=replace(made, run=run)).run_operation(op())


async def test_tags_that_no_longer_decide_are_none(parts: Parts) -> None:
    """A policy that asked for them has gone meanwhile: what is looked up needs not hold."""
    parts.facts_needed, parts.row = True, SECRET
    made, seen = upsert(parts), list[Call]()

    async def run(call: Call) -> object:
        seen.append(call)
        parts.facts_needed = False
        return await made.run(call)

    await parts.pipeline(op=replace(made, run=run)).run_operation(op())
    assert [(call.needs_facts, call.facts.exists) for call in seen] == [(True, True), (False, True)]


async def test_it_is_decided_on_what_counts_by_now(parts: Parts) -> None:
    """A policy that has come meanwhile may ask for tags: they are looked up, and must hold."""
    made, seen = upsert(parts), list[Call]()

    async def run(call: Call) -> object:
        seen.append(call)
        parts.facts_needed = True
        parts.row = SECRET
        return await made.run(call)

    parts.decide_ = lambda access: Decision(allowed="old" not in access.facts.tags)
    with pytest.raises(AuthorizationError):
        await parts.pipeline(op=replace(made, run=run)).run_operation(op())
    parts.decide_ = lambda _: Decision(allowed=True)
    made = upsert(parts)
    parts.facts_needed, parts.row = False, None
    await parts.pipeline(op=replace(made, run=run)).run_operation(op())
    assert [(call.needs_facts, call.facts.exists) for call in seen] == [
        (False, False), (False, False), (True, True),
    ]  # fmt: skip
    assert seen[-1].facts.tags == frozenset(SECRET.tags)


async def test_it_is_decided_on_the_policies_of_now(parts: Parts) -> None:
    """What is held is made current first: a policy that was changed meanwhile counts."""

    class Rules:
        """Create alone is allowed once they are read again."""

        is_stale = False

        async def refresh(self) -> None:
            """Read them."""
            await trio.lowlevel.checkpoint()
            parts.decide_ = lambda access: Decision(allowed=access.capability is Capability.CREATE)
            self.is_stale = False

    rules, made = Rules(), upsert(parts)

    async def run(call: Call) -> object:
        rules.is_stale, parts.ended = True, 1
        return await made.run(call)

    with pytest.raises(AuthorizationError):
        await parts.pipeline(held=[rules], op=replace(made, run=run)).run_operation(op())
    assert parts.diary[-2:] == ["decide update", "outcome denied"]


async def test_what_cannot_be_followed_is_told(parts: Parts) -> None:
    """Nothing is decided on what may not be so any more."""

    class Gone:
        """Cannot be read."""

        is_stale = False

        async def refresh(self) -> None:
            """No."""
            await trio.lowlevel.checkpoint()
            raise NOT_SO

    gone, made = Gone(), upsert(parts)

    async def run(call: Call) -> object:
        gone.is_stale, parts.ended = True, 1
        return await made.run(call)

    with pytest.raises(ConflictError, match=CHANGED_MEANWHILE):
        await parts.pipeline(held=[gone], op=replace(made, run=run)).run_operation(op())
    assert parts.diary.count("handle") == 1


def tagged(*tags: str) -> SecretRow:
    """The secret with others."""
    return structs.replace(SECRET, tags=list(tags))
