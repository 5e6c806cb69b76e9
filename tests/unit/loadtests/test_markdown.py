"""The block of a page that a command owns."""

from pathlib import Path

import pytest

from loadtests.markdown import fill_block, table

BEGIN = "<!-- b: written by a command, edits are lost -->"
END = "<!-- b ends -->"


def test_only_the_block_changes(tmp_path: Path) -> None:
    """And twice the same is the same."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        fill_block(page, "b", "new\n")
        assert page.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_page_without_its_marks_is_left_alone(tmp_path: Path, text: str) -> None:
    """Nothing of it is overwritten."""
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="must hold"):
        fill_block(page, "b", "new")
    assert page.read_text() == text


def test_a_table_has_a_head_and_rows() -> None:
    """As Markdown."""
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
