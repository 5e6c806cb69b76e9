"""Who waits for a session's end hears of it."""

from control.authn.session_ends import SessionEnds


def test_only_those_who_wait_for_it_are_told() -> None:
    """Each of them; nothing is kept of those who no longer wait."""
    endings = SessionEnds(*[lambda _tx, _account: lambda: None] * 2)
    with (
        endings.subscribe("a") as one,
        endings.subscribe("a") as two,
        endings.subscribe("b") as other,
    ):
        endings.publish_ended(["a", "unknown"])
        assert (one.is_set(), two.is_set(), other.is_set()) == (True, True, False)
    assert not endings._waiting
