"""kill -9 under writers: `make durability` in short."""

import random
from pathlib import Path

from loadtests.durability import rounds
from loadtests.durability.faults.kill import KilledAgent

ROUNDS = 3


def test_a_killed_agent_has_lost_nothing_that_it_acknowledged(folder: Path) -> None:
    """Each acknowledged write is there after the restart, with its value and both records."""
    chance = random.Random(20)  # noqa: S311  # chance of a test, not a key
    done = list(rounds.run_rounds(KilledAgent, folder, rounds=ROUNDS, chance=chance))
    assert [this.findings for this in done] == [[]] * ROUNDS
    assert all(this.count("ok") for this in done)


def test_the_harness_fails_for_an_agent_that_answers_before_its_record(folder: Path) -> None:
    """A value that left without a record is what an auditor fears most."""
    chance = random.Random(21)  # noqa: S311  # chance of a test, not a key
    (only,) = rounds.run_rounds(KilledAgent, folder, rounds=1, chance=chance, weakness="early")
    assert any("answered and are not on record" in told for told in only.findings)
