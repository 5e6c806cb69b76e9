"""Tests of the pipeline: what came of a change is told, whatever becomes of its record."""

import pytest

from tests.unit.vault.test_pipeline import Parts, handler, op
from vault.errors import UnavailableError


async def test_an_unknown_outcome_stays_unknown_without_a_record() -> None:
    """Where neither the store nor the log answers, nobody hears that nothing was done."""
    parts = Parts(refuse=lambda event: event.phase == "outcome")
    late = UnavailableError("store_timeout", "late", outcome="unknown")
    with pytest.raises(UnavailableError, match="audit_unavailable") as caught:
        await parts.pipeline(op=handler(parts, late, mutates=True)).run_operation(op())
    assert caught.value.details == {"outcome": "unknown"}


async def test_a_change_whose_outcome_is_not_on_record() -> None:
    """It happened: the caller is told so, and no record claims that it failed."""
    parts = Parts()
    parts.refuse = lambda event: event.phase == "outcome"
    with pytest.raises(UnavailableError, match="outcome_unrecorded") as caught:
        await parts.pipeline(op=handler(parts, "the value", mutates=True)).run_operation(op())
    assert parts.diary[-3:] == ["intent ok", "handle", "outcome ok"]
    assert caught.value.message.startswith("it was done")
    assert caught.value.details["outcome"] == "done"
    assert parts.counts == [("op", "unavailable")]
