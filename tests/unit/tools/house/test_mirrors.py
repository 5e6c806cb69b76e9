from collections.abc import Callable

import pytest

from tools.house.mirrors import EXCEPTIONS, check, mirror
from tools.house.tree import Tree

Plant = Callable[[dict[str, str]], Tree]
WORK = "def f():\n    return 1\n"


@pytest.fixture
def excused() -> dict[str, str]:
    """Files that make every exception except something."""
    return {(path + "x.py" if path.endswith("/") else path): WORK for path in EXCEPTIONS}


@pytest.mark.parametrize(
    ("source", "test"),
    [
        ("vault/audit/chain.py", "tests/unit/vault/audit/test_chain.py"),
        ("vault/app.py", "tests/unit/vault/test_app.py"),
        ("actors/__init__.py", "tests/unit/actors/test_init.py"),
    ],
)
def test_each_module_has_one_place_for_its_test(source: str, test: str) -> None:
    """The mirror is a function of the path alone."""
    assert mirror(source) == test


def test_a_module_without_its_test_is_found(plant: Plant, excused: dict[str, str]) -> None:
    """Only the module without a mirror is named."""
    tree = plant(
        {**excused, "vault/a.py": WORK, "vault/b.py": WORK, "tests/unit/vault/test_a.py": ""}
    )
    assert [found.path for found in check(tree)] == ["vault/b.py"]


@pytest.mark.parametrize(
    "text",
    [
        '"""Doc."""\nfrom a import b\n__all__ = ["b"]\n',
        "class A(Struct):\n    x: int = 1\n",
        'class A(Protocol):\n    def f(self) -> int:\n        """Doc."""\n        ...\n',
    ],
)
def test_declarations_need_no_test(plant: Plant, excused: dict[str, str], text: str) -> None:
    """Imports, constants, structs and protocols have nothing that could fail."""
    assert not list(check(plant({**excused, "vault/a.py": text})))


def test_an_exception_that_excepts_nothing_is_found(plant: Plant) -> None:
    """The list of exceptions only shrinks with the code."""
    assert len(list(check(plant({})))) == len(EXCEPTIONS)
