"""The checker accepts each linearizable history, and finds each planted violation."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.consistency.checker import VIOLATIONS, check_history, count_violations
from loadtests.consistency.history import NEVER, Kind, Operation

KEY = "secret/k"
FOLDER = "secret/names"
STEP = 10  # of time, between the moments at which two operations take effect
LONGEST = 60  # that an operation is sent before this moment, or answered after it

Effect = tuple[str, int, int, bool]
EFFECTS = st.lists(
    st.tuples(
        st.sampled_from(["write", "cas", "read", "metadata", "lost answer", "never", "refused"]),
        st.integers(1, LONGEST),
        st.integers(1, LONGEST),
        st.booleans(),
    ),
    min_size=1,
    max_size=30,
)


def register(effects: list[Effect]) -> tuple[list[Operation], dict[int, str]]:
    """A history of one secret whose operations took effect one after another, and its versions."""
    history: list[Operation] = []
    versions: dict[int, str] = {}
    for number, (what, before, after, _) in enumerate(effects, 1):
        moment, value = number * STEP, f"value {number}"
        kind: Kind = "read" if what == "read" else "metadata" if what == "metadata" else "write"
        one = Operation(number, number % 3, kind, KEY, moment - before, value=value)
        if what == "cas":
            one.expected = len(versions)
        if what in {"write", "cas", "lost answer"}:
            versions[len(versions) + 1] = value
        if what not in {"lost answer", "never"}:
            one.state, one.answered = "ok", moment + after
            one.version = len(versions)
        if what == "refused":
            one.state, one.version = "refused", 0
        if kind != "write":
            one.value = versions.get(len(versions), "") if kind == "read" else ""
        history.append(one)
    return history, versions


@given(EFFECTS)
def test_what_took_effect_in_an_order_is_accepted(effects: list[Effect]) -> None:
    """However the operations overlap, and whatever became of answers."""
    history, versions = register(effects)
    assert check_history(history) == []
    assert check_history(history, {KEY: versions}) == []


@given(EFFECTS, st.integers(0, 100), st.sampled_from(["read", "metadata"]))
def test_a_read_that_misses_a_version(effects: list[Effect], back: int, kind: Kind) -> None:
    """It is found if what it misses was known before it was sent, whoever had told it."""
    history, versions = register(effects)
    moment = (len(effects) + 1) * STEP + LONGEST
    version = max(len(versions) - 1 - back % max(len(versions), 1), 0)
    value = versions.get(version, "") if kind == "read" else ""
    late = Operation(99, 0, kind, KEY, moment, value, "ok", moment + 1, version)
    known = [one for one in history if one.state == "ok"]
    highest = max((one.version for one in known), default=0)
    written = max((one.version for one in known if one.kind == "write"), default=0)
    found = count_violations(check_history([*history, late]))
    expected = "" if version >= highest else "stale" if version < written else "inversion"
    assert dict(found) == ({expected: 1} if expected else {})


def write(number: int, version: int, value: str = "", expected: int | None = None) -> Operation:
    """An acknowledged write, the `number`th in time."""
    return Operation(
        number, 0, "write", KEY, number * STEP, value or f"v{version}", "ok", number * STEP + 1,
        version, expected,
    )  # fmt: skip


def read(number: int, version: int, value: str = "") -> Operation:
    """An answered read."""
    return replace(write(number, version, value), kind="read")


def unknown(number: int, value: str) -> Operation:
    """A write without an answer."""
    return Operation(number, 0, "write", KEY, number * STEP, value)


def named(number: int, kind: Kind, key: str = f"{FOLDER}/a", *names: str) -> Operation:
    """An answered operation of a name or a list."""
    moment = number * STEP
    return Operation(
        number, 0, kind, key, moment, state="ok", answered=moment + 1, names=frozenset(names)
    )


def listed(number: int, *names: str) -> Operation:
    """A list of the folder."""
    return named(number, "list", FOLDER, *names)


def used(number: int, *, accepted: bool) -> Operation:
    """A request with a token."""
    return replace(named(number, "use", "token"), accepted=accepted)


ISSUED = named(1, "issue", "token")
REVOKED = named(3, "revoke", "token")
PLANTED = {
    "stale": [write(1, 1), write(2, 2), read(3, 1)],
    "stale: absent": [write(1, 1), read(2, 0)],
    "stale: a list misses a name": [named(1, "create"), listed(2)],
    "stale: a list has an erased name": [named(1, "create"), named(2, "erase"), listed(3, "a")],
    "stale: a name is gone again": [
        replace(named(1, "create"), state="unknown", answered=NEVER), listed(2, "a"), listed(3),
    ],
    "stale: a name is there again": [
        named(1, "create"),
        replace(named(2, "erase"), state="unknown", answered=NEVER), listed(3), listed(4, "a"),
    ],
    "stale: a name that was seen is erased": [
        replace(named(1, "create"), state="unknown", answered=NEVER),
        listed(2, "a"), named(3, "erase"), listed(4, "a"),
    ],
    "inversion": [write(1, 1), unknown(2, "v2"), read(3, 2), read(4, 1)],
    "reordered": [write(1, 2), write(2, 1)],
    "reordered: read before": [unknown(1, "v2"), write(1, 1), read(2, 2, "v2"), unknown(3, "v3"),
                               replace(write(4, 2), value="v2b")],
    "reordered: check-and-set": [write(1, 1), write(2, 2, expected=0)],
    "lost: two acknowledged": [write(1, 1, "a"), write(2, 1, "b")],
    "lost: read": [write(1, 1, "a"), unknown(1, "b"), read(2, 1, "b")],
    "doubled": [write(1, 1), write(2, 2), read(3, 2, "v1")],
    "gap": [write(1, 1), write(2, 3)],
    "unwritten": [write(1, 1), read(2, 2, "other")],
    "unwritten: from the future": [read(1, 1), unknown(2, "v1")],
    "unwritten: a list": [listed(1, "a"), named(2, "create")],
    "unwritten: a list of others": [listed(1, "b"), named(2, "create")],
    "refused": [replace(unknown(1, "v1"), state="refused", answered=11), read(2, 1)],
    "token": [ISSUED, REVOKED, used(4, accepted=True)],
    "token: valid": [ISSUED, used(2, accepted=False)],
    "token: accepted after a refusal": [
        ISSUED, replace(REVOKED, state="unknown", answered=NEVER), used(4, accepted=False),
        used(5, accepted=True),
    ],
}  # fmt: skip
STORED = {
    "lost": ([write(1, 1), write(2, 2)], {1: "v1"}),
    "lost: replaced": ([write(1, 1, "a"), unknown(1, "b")], {1: "b"}),
    "doubled": ([write(1, 1, "a"), unknown(1, "b")], {1: "a", 2: "b", 3: "b"}),
    "gap": ([write(1, 1), unknown(1, "v3")], {1: "v1", 3: "v3"}),
    "unwritten": ([write(1, 1)], {1: "v1", 2: "other"}),
    "refused": ([replace(unknown(1, "v1"), state="refused", answered=11)], {1: "v1"}),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_found(name: str) -> None:
    """By the history alone."""
    found = count_violations(check_history(PLANTED[name]))
    assert name.partition(":")[0] in found
    assert found.keys() <= VIOLATIONS.keys()


@pytest.mark.parametrize("name", STORED)
def test_what_is_stored_shows_a_violation(name: str) -> None:
    """That the history alone does not."""
    history, versions = STORED[name]
    assert check_history(history) == []
    assert name.partition(":")[0] in count_violations(check_history(history, {KEY: versions}))


def test_every_violation_is_planted() -> None:
    """So none of them is a word only."""
    assert {name.partition(":")[0] for name in PLANTED} == set(VIOLATIONS)


def test_a_write_of_unknown_outcome_fills_a_gap() -> None:
    """One each."""
    history = [write(1, 1), unknown(1, "x"), write(2, 3)]
    assert check_history(history) == []
    assert count_violations(check_history([*history, write(3, 5)])) == {"gap": 1}
    assert check_history(history, {KEY: {1: "v1", 2: "x", 3: "v3"}}) == []


def test_operations_beside_each_other_may_be_in_any_order() -> None:
    """A read beside a write, a list beside an erasure, a use beside a revocation."""
    beside = replace(read(1, 0), answered=100)
    assert check_history([replace(write(1, 1), answered=100), beside]) == []
    create, erase = named(1, "create"), replace(named(2, "erase"), answered=100)
    assert check_history([create, erase, listed(3), listed(3, "a")]) == []
    unknown = replace(create, state="unknown", answered=NEVER)  # it takes effect whenever it does
    assert check_history([unknown, named(2, "erase"), listed(3), listed(4, "a")]) == []
    revoke = replace(REVOKED, answered=100)
    assert check_history([ISSUED, revoke, used(4, accepted=True), used(4, accepted=False)]) == []
