"""Whether a machine has room for a fleet."""

from loadtests.fleet.__main__ import SPARE, missing_capacity, ports_of


def test_ten_thousand_fit_into_the_usual_limits() -> None:
    """20,000 files and Linux's own range of ports."""
    assert missing_capacity(10_000, 20_000, ports_of("32768\t60999\n")) == ""


def test_what_is_too_little_is_told_with_what_to_do() -> None:
    """At the last that fits, and one below."""
    assert missing_capacity(100, 100 + SPARE, 100 + SPARE) == ""
    assert "ulimit -Hn 1100" in missing_capacity(100, 99 + SPARE, 100 + SPARE)
    assert "ip_local_port_range" in missing_capacity(100, 100 + SPARE, 99 + SPARE)


def test_both_ends_of_the_range_are_given() -> None:
    """As ip(7) counts them."""
    assert ports_of("32768 60999") == 28_232
