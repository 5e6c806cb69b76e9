"""How something stood over a period."""

import pytest

from control.compliance.evidence import timeline as t
from control.model.history import UNKNOWN, Aspect, StateChange


def turns(*told: tuple[int, str], before: int = 0) -> list[StateChange]:
    """Of one subject, by instant."""
    found: list[StateChange] = []
    for at, value in told:
        last = found[-1].at if found else before
        found.append(
            StateChange(
                org="a", aspect=Aspect.LIFE, subject="v", at=at, value=value, detail={},
                before=last,
            )
        )  # fmt: skip
    return found


def test_what_held_at_the_beginning_is_cut_to_the_period() -> None:
    """And what turned after its end is not in it."""
    line = t.build_timeline("v", turns((1, "a"), (15, "b"), (30, "c")), 10, 20)
    assert [(s.since, s.until, s.value) for s in line.intervals] == [(10, 15, "a"), (15, 20, "b")]
    assert (line.final_value, line.value_at(14), line.value_at(15), line.value_at(20)) == (
        "b",
        "a",
        "b",
        "",
    )
    assert (line.intervals_equal("a"), line.known_from) == ([(10, 15)], 10)


@pytest.mark.parametrize(
    ("at", "before", "known"), [(12, 0, 10), (12, UNKNOWN, 12), (12, 4, 12), (8, UNKNOWN, 10)]
)
def test_what_began_is_known_and_what_was_found_is_not(at: int, before: int, known: int) -> None:
    """A first turn that follows one that is gone, or nobody knows what, begins the knowledge."""
    line = t.build_timeline("v", turns((at, "a"), before=before), 10, 20)
    assert line.known_from == known
    assert bool(t.unknown_periods([line])) is (known > 10)


def test_times_add_up() -> None:
    """Joined, cut with each other, taken from each other."""
    assert t.union_of([(5, 7), (1, 3), (2, 4), (9, 9), (4, 5)]) == [(1, 7)]
    assert t.intersection_of([(1, 5), (8, 10)], [(0, 2), (4, 9)]) == [(1, 2), (4, 5), (8, 9)]
    assert t.difference_of([(0, 10)], [(2, 3), (5, 20)]) == [(0, 2), (3, 5)]
    assert t.difference_of([(0, 4), (6, 8)], [(3, 7)]) == [(0, 3), (7, 8)]
    assert t.difference_of([(2, 4)], [(0, 9)]) == []
    assert (
        t.total_length([(0, 2), (3, 7)]),
        t.longest_interval([(0, 2), (3, 7)]),
        t.longest_interval([]),
    ) == (6, 4, 0)
