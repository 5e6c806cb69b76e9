"""`make durability` as a command: what a machine cannot do is told, and not taken for done."""

import sys
from pathlib import Path

import pytest

from loadtests.durability import __main__ as command


def test_a_run_that_strikes_nothing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does that is asked for what there is not: at a stop no worker's death."""
    monkeypatch.setenv(command.OWN_MOUNTS, "yes")
    monkeypatch.setitem(command.RUN, "points", lambda *_: iter(()))
    monkeypatch.setitem(command.WHY_NOT, "points", lambda: "")
    monkeypatch.setattr(sys, "argv", ["durability", "points", "--out", str(tmp_path)])
    assert command.main() == 1


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_what_cannot_be_done_fails_where_nobody_looks(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ci: str,
    code: int,
) -> None:
    """It is named with its reason, on the page as well, and with CI set it is a failure."""
    monkeypatch.setenv(command.OWN_MOUNTS, "yes")
    monkeypatch.setenv("CI", ci)
    monkeypatch.setitem(command.WHY_NOT, "power", lambda: "only root mounts")
    monkeypatch.setattr(sys, "argv", ["durability", "power", "--out", str(tmp_path)])
    assert command.main() == code
    assert "power: not done here: only root mounts" in capsys.readouterr().out
    assert "not done: only root mounts" in (tmp_path / "durability.md").read_text()
