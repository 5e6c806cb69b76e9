from collections.abc import Callable

import pytest

from tools.repo_lint.repository import Finding, RepoTree

Plant = Callable[[dict[str, str]], RepoTree]


@pytest.mark.parametrize(
    "made",
    [".venv/x.py", ".git/x.py", ".git", "build/x.py", "a/__pycache__/x.py", "f.egg-info/x.py"],
)
def test_what_tools_made_is_not_looked_at(plant: Plant, made: str) -> None:
    """The rules read the project, not its caches and environments."""
    tree = plant({made: "", "vault/a.py": "", ".ci/run": "", ".gitignore": ""})
    assert list(tree.files) == [".ci/run", ".gitignore", "vault/a.py"]


def test_python_is_chosen_by_top_folder(plant: Plant) -> None:
    """A rule for the product does not read tests, and no rule reads other files as Python."""
    tree = plant({"vault/a.py": "", "tests/a.py": "", "vault/a.md": "", "a.py": ""})
    assert [source.path for source in tree.python("vault")] == ["vault/a.py"]


def test_a_finding_reads_as_editors_expect() -> None:
    """`path:line: message` can be clicked."""
    assert str(Finding("a.py", 3, "too long")) == "a.py:3: too long"
