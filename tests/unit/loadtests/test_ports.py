"""loadtests.process: what is taken is not given."""

import socket

from loadtests.process import FIRST, LAST, STEP, free_port


def test_a_port_that_is_taken_is_passed_over() -> None:
    """Be it the first of those that are asked for or another; what is given is in the range."""
    first = free_port((0, 7))
    assert FIRST <= first < LAST
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first + 7))
        taken.listen()
        assert free_port((0, 7)) not in range(first, first + STEP)
        assert free_port() == first
