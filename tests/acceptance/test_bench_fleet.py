"""`make bench-fleet` on a fleet of a few: nobody would notice that it does not run any more."""

from pathlib import Path

import pytest

from loadtests.fleet.__main__ import Lengths, measure
from loadtests.fleet.report import render_page
from tests.acceptance.command import FREEHOLD

AGENTS = 4  # two for each client; one of each client verifies what it gets
QUICK = Lengths(rest=0.5, beating=0.5, settling=0.1)


def test_a_fleet_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are linked, all have the policy, none was lost, and both sides' CPU is on the page."""
    monkeypatch.setenv("FREEHOLD", FREEHOLD)
    found = measure(tmp_path / "fleet", AGENTS, QUICK)
    assert found.misses == []
    assert found.losses == {}
    assert found.warnings == 0
    assert found.beats > 0
    assert min(found.connect.cpu, found.connect.clients, found.push.cpu) > 0
    assert "| linked, shown as applied | 4, 4 |" in render_page([found], {"processor": "any"})
