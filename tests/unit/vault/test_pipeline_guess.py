"""Tests of the pipeline: what is guessed of a secret may allow, and never refuses."""

import pytest
import trio

from tests.unit.vault.test_pipeline import Parts, handler, op
from vault.authz.access import Decision
from vault.errors import AuthorizationError
from vault.handlers.handler import create_or_update
from vault.model.operation import Capability, SecretFacts
from vault.model.path import ResourcePath


async def test_a_no_is_not_made_on_a_guess() -> None:
    """What is so is looked up and decided on; a yes is left to whoever does it."""
    parts = Parts()
    looks: list[bool] = []

    async def look(_path: ResourcePath, *, decisive: bool) -> SecretFacts:
        await trio.lowlevel.checkpoint()
        looks.append(decisive)
        return SecretFacts(exists=True) if decisive else SecretFacts(is_guess=True)

    upsert = handler(parts, capability=create_or_update, targets_secret=True)
    pipeline = parts.pipeline(op=upsert)
    pipeline._lookup_facts = look
    assert await pipeline.run_operation(op()) == "done"
    assert [access.capability for access in parts.accesses] == [Capability.CREATE]
    parts.decide_ = lambda access: Decision(allowed=access.capability == Capability.UPDATE)
    assert await pipeline.run_operation(op()) == "done"
    assert [access.capability for access in parts.accesses][1:] == ["create", "update"]
    assert looks == [False, False, True]
    parts.decide_ = lambda _: Decision(allowed=False)
    with pytest.raises(AuthorizationError):
        await pipeline.run_operation(op())
    assert [event.result for event in parts.events] == ["ok", "ok", "denied"]
    assert parts.events[-1].capability == "update"
