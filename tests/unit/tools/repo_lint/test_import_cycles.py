from collections.abc import Callable

import pytest

from tools.repo_lint.import_cycles import check
from tools.repo_lint.repository import RepoTree

Plant = Callable[[dict[str, str]], RepoTree]


@pytest.mark.parametrize(
    "back",
    [
        "import vault.a",
        "from vault import a",
        "from vault.a import X",
        "def f():\n    from vault.a import X",
        "if TYPE_CHECKING:\n    from vault.a import X",
    ],
)
def test_a_cycle_is_found(plant: Plant, back: str) -> None:
    """Wherever its imports stand, and whatever they are for."""
    tree = plant({"vault/a.py": "from vault.b import Y\n", "vault/b.py": f"{back}\n"})
    [found] = check(tree)
    assert "vault.a" in found.message
    assert "vault.b" in found.message


def test_a_package_may_import_its_modules_and_they_each_other(plant: Plant) -> None:
    """A module that imports its sibling does not import the package."""
    tree = plant(
        {
            "vault/__init__.py": "from vault.a import X\n",
            "vault/a.py": "from vault import b\n",
            "vault/b.py": "import json\n",
        }
    )
    assert not list(check(tree))


def test_load_tests_import_no_test(plant: Plant) -> None:
    """What both need is not a test."""
    tree = plant({"loadtests/a.py": "import os\nfrom tests.acceptance.agent import Agent\n"})
    [found] = check(tree)
    assert (found.path, found.line) == ("loadtests/a.py", 2)
