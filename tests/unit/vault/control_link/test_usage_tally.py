"""What was used since it was last told."""

import pytest

from vault.control_link import ports as module
from vault.control_link.ports import UsageTally
from vault.model.records import AccessRow


def test_values_read_and_credentials_used() -> None:
    """Added up by id; reads of metadata are no use; cleared, it begins anew."""
    tally = UsageTally()
    rows = [AccessRow(secret_id="a", value_reads=2), AccessRow(secret_id="b", metadata_reads=9)]
    tally.add_reads(rows)
    tally.add_reads(rows[:1])
    tally.add_uses({"k": (3, 99)})
    assert (tally.reads, tally.uses) == ({"a": 4}, {"k": 3})
    tally.clear()
    assert (tally.reads, tally.uses) == ({}, {})


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known goes on counting; what comes beyond the bound is not told apart."""
    monkeypatch.setattr(module, "MAX_TALLIED", 1)
    tally = UsageTally()
    tally.add_uses({"a": (1, 0), "b": (1, 0)})
    tally.add_uses({"a": (1, 0)})
    assert tally.uses == {"a": 2}
