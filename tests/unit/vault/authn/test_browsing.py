"""What a page of ours shows to prove that it is one."""

import pytest

from vault.authn.browsing import csrf_of, knows


def test_it_follows_from_the_session_and_tells_nothing_of_it() -> None:
    """The same for the same secret, another for another, and no part of it."""
    assert csrf_of("s.one") == csrf_of("s.one") != csrf_of("s.two")
    assert len(csrf_of("s.one")) == 43
    assert "s.one" not in csrf_of("s.one")


@pytest.mark.parametrize("shown", ["", "s.one", csrf_of("s.two"), "\udcff", csrf_of("s.one")[:-1]])
def test_only_the_sessions_own_counts(shown: str) -> None:
    """Nothing, a guess, another session's, bytes that are no text."""
    assert knows(csrf_of("s.one"), "s.one")
    assert not knows(shown, "s.one")
