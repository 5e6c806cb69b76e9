"""loadtests.bench.measure: servers take turns."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from loadtests.bench import measure
from loadtests.bench.plan import read_load
from loadtests.bench.results import Comparison
from loadtests.load import Load, Sample

SAMPLE = Sample(requests=1, seconds=1, p50_ms=1, p95_ms=1, p99_ms=1)


@pytest.mark.parametrize(("mirrored", "order"), [(False, "ab ab ab"), (True, "ab ba ab")])
def test_who_comes_first(monkeypatch: pytest.MonkeyPatch, mirrored: bool, order: str) -> None:
    """Always the same one, or each in turn; the first round warms up and does not count."""
    seen: list[str] = []

    def run(server: Any, _load: Load, _seconds: int, _others: list[float]) -> Sample:
        seen.append(server.name)
        return SAMPLE

    monkeypatch.setattr(measure, "run", run)
    monkeypatch.setattr(measure, "pausing_others", lambda *_: nullcontext())
    servers: Any = [SimpleNamespace(name=name, kind="server", settle=lambda: None) for name in "ab"]
    row = measure.compare(
        Comparison(1, read_load()), servers, servers, seconds=1, rounds=2, mirrored=mirrored
    )
    assert "".join(seen) == order.replace(" ", "")
    assert {name: len(rounds) for name, rounds in row.rounds.items()} == {"a": 2, "b": 2}
