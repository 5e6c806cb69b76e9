import io
import sys

import pytest

from ui.cli.progress import counted, progress


class Screen(io.StringIO):
    """A stderr at which a person looks."""

    def isatty(self) -> bool:
        """As a terminal."""
        return True


def test_a_person_sees_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a count; nothing is left of it at the end."""
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with progress("Reading secrets", 3) as advance:
        advance(3)
    assert "Reading secrets" in screen.getvalue()
    assert "3/3" in screen.getvalue()
    assert list(counted(range(250), "Verifying records")) == list(range(250))
    assert "Verifying records" in screen.getvalue()


def test_a_script_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log has no bars in it."""
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with progress("Reading secrets", 3) as advance:
        advance(3)
    assert list(counted(range(3), "x")) == [0, 1, 2]
    assert pipe.getvalue() == ""


def test_a_log_has_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they are asked for: how far it was at first and at last."""
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with progress("Copying rows", 700, lines=True) as advance:
        for count in (200, 300, 200):
            advance(count)
    assert pipe.getvalue() == "Copying rows: 200 of 700\nCopying rows: 700 of 700\n"
