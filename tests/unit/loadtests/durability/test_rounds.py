"""A round that shows nothing is told, whatever the oracle says of what nobody did."""

import random
from pathlib import Path

import pytest

from loadtests.durability import rounds
from loadtests.durability.history import Write
from loadtests.durability.writers import RoundHistory
from tests.acceptance.agent import Agent


class Idle:
    """A victim that is started and answers nothing of use."""

    def __init__(self, folder: Path) -> None:
        self.agent = Agent(folder, [])
        self.agent.start = lambda: None  # type: ignore[method-assign]  # nothing runs

    def strike(self) -> None:
        """Nothing."""

    def recover(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


@pytest.mark.parametrize(("state", "shown"), [("refused", False), ("ok", True)])
def test_a_round_without_an_acknowledged_write_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, *, shown: bool
) -> None:
    """And so is a start after which no write is taken."""
    work = RoundHistory([Write("secret/a", "1", state)])  # type: ignore[arg-type]  # a state
    monkeypatch.setattr(rounds, "begin", lambda *_: None)
    monkeypatch.setattr(rounds, "_write_until_struck", lambda *_: work)
    monkeypatch.setattr(rounds, "judge", lambda *_: [])
    (this,) = rounds.run_rounds(Idle, tmp_path, rounds=1, chance=random.Random(1))  # noqa: S311  # no key
    told = [word for word in ("no write was acknowledged", "nobody answers after the start")
            if any(word in finding for finding in this.findings)]  # fmt: skip
    assert told == ["no write was acknowledged", "nobody answers after the start"][shown:]
