"""What protocols.http.h2_streams promises."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.http.h2_streams import DEFAULT_WINDOW, ReceiveWindow


@given(
    st.integers(1, 300_000),
    st.lists(st.tuples(st.integers(1, 70_000), st.booleans()), max_size=40),
)
def test_a_client_that_keeps_to_it_is_never_wrong_nor_stuck(
    size: int, steps: list[tuple[int, bool]]
) -> None:
    """What was granted may be sent; when all is used and given back, there is room again."""
    window, allowed, unread = ReceiveWindow(size), size, 0
    for wanted, read in steps:
        sent = min(wanted, allowed)
        assert window.consume(sent)
        allowed -= sent
        unread += sent
        if read:
            allowed += window.replenish(unread)
            unread = 0
            assert 0 < allowed <= size


def test_more_than_was_granted_is_noticed() -> None:
    """At the first byte too many."""
    window = ReceiveWindow(100_000)
    assert window.consume(100_000)
    assert not window.consume(1)


def test_a_client_may_go_by_the_default_at_first() -> None:
    """RFC 9113 section 6.9.2: until it has read our SETTINGS."""
    window = ReceiveWindow(10)
    assert window.consume(DEFAULT_WINDOW)
    assert not window.consume(1)


def test_windows_are_opened_by_halves() -> None:
    """One WINDOW_UPDATE for many small bodies."""
    window = ReceiveWindow(1_000)
    assert [window.replenish(100) for _ in range(6)] == [0, 0, 0, 0, 500, 0]
