"""The commands of the README and of the guides are typed, and what they show is what comes."""

from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.documents.console import examples, matches, settled
from tests.acceptance.documents.setting import outputs

ROOT: Final = Path(__file__).parents[3]
PAGES: Final = sorted(
    str(page.relative_to(ROOT))
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if examples(page.read_text())
)


@pytest.mark.parametrize("name", PAGES)
def test_examples_show_what_comes(name: str) -> None:
    """Every command of the page, in order, in one shell.

    After a change of the command line: `python -m tests.acceptance.documents.record PAGE`.
    """
    text = (ROOT / name).read_text()
    for example, output in zip(examples(text), outputs(text), strict=True):
        if not matches(example, output):
            shown = f"$ {example.command}\n{settled(example.output)}"
            assert f"$ {example.command}\n{settled(output)}" == shown


def test_the_readme_has_a_tour() -> None:
    """A newcomer types it first."""
    assert len(examples((ROOT / "README.md").read_text())) > 10
