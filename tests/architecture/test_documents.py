"""The documentation as a whole. That each link leads somewhere is a rule of `make lint`."""

import re
from pathlib import Path

LINK = re.compile(r"\]\(([^)#\s]+)")
INDEXES = ("README.md", "docs/README.md", "docs/decisions/README.md", "docs/performance.md")


def test_every_page_is_in_a_table_of_contents(root: Path) -> None:
    """Whoever adds a page is led to docs/README.md."""
    linked = {
        ((root / index).parent / target).resolve()
        for index in INDEXES
        for target in LINK.findall((root / index).read_text())
    }
    pages = {page.resolve() for page in (root / "docs").rglob("*.md")}
    assert pages - linked == {(root / "docs/README.md").resolve()} - linked
    assert len(pages) > 60


def test_the_readme_is_short(root: Path) -> None:
    """What, why, two commands, a tour, where to go on."""
    assert len((root / "README.md").read_text().splitlines()) <= 200
