from collections.abc import Callable

import pytest

from tools.repo_lint.links import check
from tools.repo_lint.repository import RepoTree

Plant = Callable[[dict[str, str]], RepoTree]


@pytest.mark.parametrize(
    "target", ["docs/none.md", "../../etc", "docs/a.md#no-such-heading", "#nowhere"]
)
def test_a_link_that_leads_nowhere_is_found(plant: Plant, target: str) -> None:
    """A missing file, a way out of the repository, a missing heading here or there."""
    tree = plant({"README.md": f"# Top\n\n[x]({target})\n", "docs/a.md": "# A\n"})
    assert [(found.path, found.line) for found in check(tree)] == [("README.md", 3)]


@pytest.mark.parametrize(
    "text",
    [
        "[x](docs/a.md)",
        "[x](docs)",
        "[x](docs/a.md#the-keys-door-barrier)",
        "[x](#top)",
        "[x](https://example.com/none)",
        "`[x](none.md)`",
        "```\n[x](none.md)\n```",
    ],
)
def test_links_that_lead_somewhere_pass(plant: Plant, text: str) -> None:
    """Files, folders, headings as they are rendered, the network; code is not read."""
    tree = plant({"README.md": f"# Top\n\n{text}\n", "docs/a.md": "## The keys' door: `barrier`\n"})
    assert not list(check(tree))
