"""docs/reference is what the code says."""

import pytest

from tools.reference.markdown import MeaningError, matched, table
from tools.reference.pages import render_all


def test_a_generated_page_is_what_the_code_says() -> None:
    """After a change: `python -m tools.reference`."""
    pages = render_all()
    assert pages
    assert [page.name for page, text in pages.items() if page.read_text() != text] == []


def test_what_has_no_meaning_is_named() -> None:
    """Whoever adds a key, a code or a metric is asked for a line about it."""
    with pytest.raises(MeaningError, match=r"texts\.toml: say what these mean: new"):
        matched(["known", "new"], {"known": "x"}, "texts.toml")
    with pytest.raises(MeaningError, match=r"texts\.toml: these are gone: old"):
        matched(["known"], {"known": "x", "old": "y"}, "texts.toml")


def test_a_cell_does_not_end_a_row() -> None:
    """Whatever is in it."""
    assert table(["a"], [["x|y"]]).splitlines()[-1] == "| x\\|y |"
