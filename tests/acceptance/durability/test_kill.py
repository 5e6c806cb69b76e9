"""kill -9 under writers: `make durability` in short."""

import random
from pathlib import Path

from loadtests import durability
from loadtests.durability import Round, Write

ROUNDS = 3


def test_a_killed_agent_has_lost_nothing_that_it_acknowledged(folder: Path) -> None:
    """Each acknowledged write is there after the restart, with its value and both records."""
    chance = random.Random(20)  # noqa: S311  # chance of a test, not a key
    rounds = list(durability.run(folder, rounds=ROUNDS, chance=chance))
    assert [this.findings for this in rounds] == [[]] * ROUNDS
    assert all(this.count("ok") for this in rounds)


def test_the_oracle_sees_each_kind_of_wrong() -> None:
    """A lost, a doubled, an invented, a refused but present write and a gap are all told."""
    ok = Write("secret/a", "ok", "ok", version=1)
    refused = Write("secret/a", "refused", "refused")
    unknown = Write("secret/a", "unknown")
    writes = [ok, refused, unknown]
    told = {
        "lost": durability.judge_name({1: "unknown"}, writes),
        "was refused": durability.judge_name({1: "ok", 2: "refused"}, writes),
        "2 times": durability.judge_name({1: "ok", 2: "unknown", 3: "unknown"}, writes),
        "gap": durability.judge_name({1: "ok", 3: "unknown"}, writes),
        "nobody wrote": durability.judge_name({1: "ok", 2: "other"}, writes),
    }
    assert {word: len(list(found)) for word, found in told.items()} == dict.fromkeys(told, 1)
    assert not list(durability.judge_name({1: "ok", 2: "unknown"}, writes))
    assert Round(writes).count("ok") == 1
