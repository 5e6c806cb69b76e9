"""The oracle notices each kind of wrong."""

from loadtests.durability.history import Round, Write
from loadtests.durability.oracle import check_secret


def test_the_oracle_sees_each_kind_of_wrong() -> None:
    """A lost, a doubled, an invented, a refused but present write and a gap are all told."""
    ok = Write("secret/a", "ok", "ok", version=1)
    refused = Write("secret/a", "refused", "refused")
    unknown = Write("secret/a", "unknown")
    writes = [ok, refused, unknown]
    told = {
        "lost": check_secret({1: "unknown"}, writes),
        "was refused": check_secret({1: "ok", 2: "refused"}, writes),
        "2 times": check_secret({1: "ok", 2: "unknown", 3: "unknown"}, writes),
        "gap": check_secret({1: "ok", 3: "unknown"}, writes),
        "nobody wrote": check_secret({1: "ok", 2: "other"}, writes),
    }
    found = {word: list(findings) for word, findings in told.items()}
    assert {word: len(findings) for word, findings in found.items()} == dict.fromkeys(told, 1)
    assert all(word in findings[0] for word, findings in found.items())
    assert "[2]" in found["gap"][0]
    assert not list(check_secret({1: "ok", 2: "unknown"}, writes))
    assert Round(writes).count("ok") == 1
