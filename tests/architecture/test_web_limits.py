"""The pages ask for no more rows at once than the APIs give."""

from tools.web_limits import TARGET, render


def test_the_pages_know_the_limits_of_the_apis() -> None:
    """If not: `python -m tools.web_limits`."""
    assert TARGET.read_text() == render()
