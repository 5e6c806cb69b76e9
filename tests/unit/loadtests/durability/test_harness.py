"""The stage of the sweep: what its one client writes."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from loadtests.durability import harness
from loadtests.durability.history import Write


class Nowhere:
    """A gate behind which no agent ever runs."""

    def command(self, command: Sequence[str]) -> list[str]:
        """As it is."""
        return list(command)


def test_no_name_has_more_versions_than_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its first ones would be pruned, and count as lost; a new name begins as a new one."""
    natively: list[bool] = []

    def send(_client: None, _write: Write, *, native: bool) -> None:
        natively.append(native)
        raise ConnectionRefusedError

    monkeypatch.setattr(harness, "KEPT_VERSIONS", 3)
    monkeypatch.setattr(harness, "send_write", send)
    monkeypatch.setattr(harness.AgentHarness, "_client", lambda _stage: nullcontext())
    before = tuple(Write(harness.NAME, str(i), "ok") for i in range(2))
    gate: Any = Nowhere()
    made = harness.AgentHarness(
        tmp_path, gate, harness.VaultSnapshot(tmp_path / "none", "", before)
    )
    assert [made.write() for _ in range(5)] == [False] * 5
    names = [write.name for write in made.writes]
    assert names == [harness.NAME] * 3 + [f"{harness.NAME}-1"] * 3 + [f"{harness.NAME}-2"]
    assert len({write.value for write in made.writes}) == len(names)
    assert natively == [True] + [False] * 4
