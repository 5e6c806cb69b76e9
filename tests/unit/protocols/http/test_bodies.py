"""The bytes of all request bodies are bounded, and large ones do not keep small ones out."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.http.bodies import SHARE, SMALL, Bodies
from protocols.http.limits import Limits

TOTAL = 8 * SHARE * SMALL


def test_large_bodies_fill_their_part_and_small_ones_get_through() -> None:
    """Whoever uploads much keeps large bodies waiting, and what is given back is free again."""
    bodies = Bodies(Limits(bodies_bytes=TOTAL))
    most = TOTAL - TOTAL // SHARE
    assert bodies.take(0, most)
    assert not bodies.take(0, SMALL + 1)
    assert bodies.take(0, SMALL)
    assert not bodies.take(SMALL, 1)  # it would be large from here on
    bodies.give(most)
    assert bodies.take(SMALL, 1)
    assert bodies.held == SMALL + 1


def test_small_bodies_are_bounded_too() -> None:
    """Many of them cannot take everything."""
    bodies = Bodies(Limits(bodies_bytes=TOTAL))
    taken = 0
    while bodies.take(0, SMALL):
        taken += SMALL
    assert taken == TOTAL // SHARE
    assert bodies.take(0, TOTAL - TOTAL // SHARE)
    assert bodies.held == TOTAL
    bodies.give(SMALL)
    assert bodies.take(0, SMALL)  # in the part that it was given back to


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 3 * SMALL))))
def test_nothing_is_lost_or_made_up(steps: list[tuple[int, int]]) -> None:
    """Whatever is taken, refused and given back: in the end nothing is held."""
    bodies = Bodies(Limits(bodies_bytes=TOTAL))
    held = [0] * 10
    for who, more in steps:
        if bodies.take(held[who], more):
            held[who] += more
        assert bodies.held == sum(held) <= TOTAL
    for one in held:
        bodies.give(one)
    assert bodies.held == 0
