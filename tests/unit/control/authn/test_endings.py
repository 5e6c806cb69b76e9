"""Who waits for a session's end hears of it."""

from control.authn.endings import Endings


def test_only_those_who_wait_for_it_are_told() -> None:
    """Each of them; nothing is kept of those who no longer wait."""
    endings = Endings(lambda _tx, _account: lambda: None)
    with endings.awaited("a") as one, endings.awaited("a") as two, endings.awaited("b") as other:
        endings.tell(["a", "unknown"])
        assert (one.is_set(), two.is_set(), other.is_set()) == (True, True, False)
    assert not endings._waiting
