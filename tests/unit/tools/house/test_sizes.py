from collections.abc import Callable

from tools.house.sizes import FUNCTION_LINES, MODULE_LINES, check
from tools.house.tree import Tree

Plant = Callable[[dict[str, str]], Tree]


def test_a_module_has_at_most_400_lines(plant: Plant) -> None:
    """The bound itself passes, one line more is found."""
    tree = plant({"vault/a.py": "x = 1\n" * MODULE_LINES, "vault/b.py": "x = 1\n" * 401})
    assert [(found.path, found.line) for found in check(tree)] == [("vault/b.py", 1)]


def test_a_function_has_at_most_60_lines(plant: Plant) -> None:
    """Counted from `def` to its last line, also for methods and async functions."""
    body = "        x = 1\n" * (FUNCTION_LINES - 1)
    short = f"class A:\n    def f(self):\n{body}"
    long = f"class A:\n    async def f(self):\n{body}        x = 1\n"
    tree = plant({"vault/short.py": short, "vault/long.py": long})
    assert [(found.path, found.line) for found in check(tree)] == [("vault/long.py", 2)]
