"""The bytes of all request bodies are bounded, and large ones do not keep small ones out."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.http.admission import SHARE, SMALL, BodyBudget
from protocols.http.limits import Limits

TOTAL = 8 * SHARE * SMALL


def test_large_bodies_fill_their_part_and_small_ones_get_through() -> None:
    """Whoever uploads much keeps large bodies waiting, and what is given back is free again."""
    bodies = BodyBudget(Limits(bodies_bytes=TOTAL))
    most = TOTAL - TOTAL // SHARE
    assert bodies.try_reserve(0, most)
    assert not bodies.try_reserve(0, SMALL + 1)
    assert bodies.try_reserve(0, SMALL)
    assert not bodies.try_reserve(SMALL, 1)  # it would be large from here on
    bodies.release_body(most)
    assert bodies.try_reserve(SMALL, 1)
    assert bodies.held == SMALL + 1


def test_small_bodies_are_bounded_too() -> None:
    """Many of them cannot take everything."""
    bodies = BodyBudget(Limits(bodies_bytes=TOTAL))
    taken = 0
    while bodies.try_reserve(0, SMALL):
        taken += SMALL
    assert taken == TOTAL // SHARE
    assert bodies.try_reserve(0, TOTAL - TOTAL // SHARE)
    assert bodies.held == TOTAL
    bodies.release_body(SMALL)
    assert bodies.try_reserve(0, SMALL)  # in the part that it was given back to


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 3 * SMALL))))
def test_nothing_is_lost_or_made_up(steps: list[tuple[int, int]]) -> None:
    """Whatever is taken, refused and given back: in the end nothing is held."""
    bodies = BodyBudget(Limits(bodies_bytes=TOTAL))
    held = [0] * 10
    for who, more in steps:
        if bodies.try_reserve(held[who], more):
            held[who] += more
        assert bodies.held == sum(held) <= TOTAL
    for one in held:
        bodies.release_body(one)
    assert bodies.held == 0
