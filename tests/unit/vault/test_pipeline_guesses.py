"""Tests of step 4 where what step 2 had guessed is not so."""

from dataclasses import replace

import pytest
import trio

from tests.unit.vault.test_pipeline import SECRET, Parts, op
from vault.authz.access import Decision
from vault.errors import AuthorizationError, InternalError
from vault.handlers.handler import Call, Handler, WrongGuessError, create_or_update
from vault.model.operation import Capability, Facts


@pytest.fixture
def parts() -> Parts:
    """Everything allowed, nothing stored."""
    return Parts()


def guessing(parts: Parts, *facts: Facts) -> Handler:
    """An upsert that finds another guess wrong each time it is run, until it is right."""
    found = list(facts)

    async def run(call: Call) -> Facts:
        await trio.lowlevel.checkpoint()
        parts.diary.append("handle")
        if found:
            raise WrongGuessError(found.pop(0))
        return call.facts

    return Handler(run=run, capability=create_or_update, mutates=True, on_secret=True)


async def test_a_wrong_guess_is_decided_again(parts: Parts) -> None:
    """On what is so, under the one intent; the outcome has what was allowed in the end."""
    made = parts.pipeline(op=guessing(parts, Facts(exists=True)))
    assert await made.run(op()) == Facts(exists=True)
    assert parts.diary[3:] == [
        "decide create", "intent ok", "handle", "decide update", "handle", "outcome ok",
    ]  # fmt: skip
    assert [event.capability for event in parts.events] == ["create", "update"]


async def test_what_is_so_may_be_denied(parts: Parts) -> None:
    """Nothing is done then, and the denial is on record."""
    parts.decide_ = lambda access: Decision(allowed=access.capability is Capability.CREATE)
    with pytest.raises(AuthorizationError):
        await parts.pipeline(op=guessing(parts, Facts(exists=True))).run(op())
    assert parts.diary[4:] == ["intent ok", "handle", "decide update", "outcome denied"]


async def test_it_is_decided_on_what_counts_by_now(parts: Parts) -> None:
    """A policy that has come meanwhile may ask for tags: they are looked up, and must hold."""
    made = guessing(parts, Facts(exists=True))
    seen: list[Call] = []

    async def run(call: Call) -> object:
        seen.append(call)
        parts.facts_needed = True
        parts.row = SECRET
        return await made.run(call)

    parts.decide_ = lambda access: Decision(allowed="old" not in access.facts.tags)
    with pytest.raises(AuthorizationError):
        await parts.pipeline(op=replace(made, run=run)).run(op())
    parts.decide_ = lambda _: Decision(allowed=True)
    made = guessing(parts, Facts(exists=True))
    parts.facts_needed, parts.row = False, None
    await parts.pipeline(op=replace(made, run=run)).run(op())
    assert [(call.decisive, call.facts.exists) for call in seen] == [
        (False, False), (False, False), (True, True),
    ]  # fmt: skip
    assert seen[-1].facts.tags == frozenset(SECRET.tags)


async def test_nothing_is_guessed_twice(parts: Parts) -> None:
    """What is so is no guess: a handler that says so again is at fault."""
    with pytest.raises(InternalError):
        await parts.pipeline(op=guessing(parts, Facts(exists=True), Facts())).run(op())
    assert parts.diary[-1] == "outcome failed"
