from collections.abc import Callable

import pytest

from tools.repo_lint.machine_paths import check
from tools.repo_lint.repository import RepoTree

Plant = Callable[[dict[str, str]], RepoTree]


@pytest.mark.parametrize(
    "parts",
    [
        ("https://pypi", ".org/simple"),
        ("https://files.pythonhosted", ".org/x"),
        ("COPY /wo", "rk/main /app"),
        ("cd /ro", "ot/x"),
        ("HOME=/ho", "me/ada/"),
        ("'/opt/wh", "eels'"),
    ],
)
def test_registries_and_somebodys_folders_are_found(plant: Plant, parts: tuple[str, str]) -> None:
    """In any text file, with its line."""
    tree = plant({"Dockerfile": "FROM x\n" + "".join(parts) + "\n"})
    assert [found.line for found in check(tree)] == [2]


@pytest.mark.parametrize(
    "text",
    [
        "vault/jobs/kek_rotation.py",
        "/api/v1/roots",
        "`/root`",
        "${HOME}/work/x",
        "/var/lib/freehold",
    ],
)
def test_our_own_names_are_not(plant: Plant, text: str) -> None:
    """A folder of ours called `work`, a route, a variable, the places a package may own."""
    assert not list(check(plant({"README.md": text})))
