"""docs/reference is what the code says."""

from pathlib import Path

import pytest

from tools.reference.markdown import MeaningError, matched, table
from tools.reference.pages import render_all

PAGES = render_all()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_generated_page_is_what_the_code_says(page: Path) -> None:
    """After a change: `python -m tools.reference`."""
    assert page.read_text() == PAGES[page]


def test_what_has_no_meaning_is_named() -> None:
    """Whoever adds a key, a code or a metric is asked for a line about it."""
    with pytest.raises(MeaningError, match=r"texts\.toml: say what these mean: new"):
        matched(["known", "new"], {"known": "x"}, "texts.toml")
    with pytest.raises(MeaningError, match=r"texts\.toml: these are gone: old"):
        matched(["known"], {"known": "x", "old": "y"}, "texts.toml")


def test_a_cell_does_not_end_a_row() -> None:
    """Whatever is in it."""
    assert table(["a"], [["x|y"]]).splitlines()[-1] == "| x\\|y |"
