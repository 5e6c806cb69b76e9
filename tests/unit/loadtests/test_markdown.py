"""The block of a page that a command owns."""

from pathlib import Path

import pytest

from loadtests.markdown import fill_block

BEGIN = "<!-- b: written by a command, edits are lost -->"
END = "<!-- b ends -->"


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_page_without_its_marks_is_left_alone(tmp_path: Path, text: str) -> None:
    """Nothing of it is overwritten."""
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="must hold"):
        fill_block(page, "b", "new")
    assert page.read_text() == text
