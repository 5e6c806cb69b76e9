from collections.abc import Callable

import pytest

from tools.repo_lint.names import check
from tools.repo_lint.repository import RepoTree

Plant = Callable[[dict[str, str]], RepoTree]

CODE = '''"""A module."""
LIMIT = 3


class Gate:
    def shut(self, reason="sealed"):
        return f"{reason} by {LIMIT} hands"
'''


@pytest.mark.parametrize(
    "text",
    [
        '"""See `Door`."""',
        '"""One.\n\nAs `Gate.gone`."""',
        "x = 1  # `LIMITS` of them",
        '"""`go()`"""',
    ],
)
def test_a_name_that_is_nowhere_is_found(plant: Plant, text: str) -> None:
    """In a docstring or a comment, with the line of the name."""
    tree = plant({"vault/gate.py": CODE, "vault/a.py": text + "\n"})
    assert [(found.path, found.line) for found in check(tree)] == [
        ("vault/a.py", text[: text.index("`")].count("\n") + 1)
    ]


@pytest.mark.parametrize("name", ["Gate.shut", "LIMIT", "vault.gate", "sealed", "hands", "VACUUM"])
def test_code_strings_paths_and_known_others_are_names(plant: Plant, name: str) -> None:
    """A parameter's value may be an error code; `VACUUM` is SQL's."""
    assert not list(check(plant({"vault/gate.py": CODE, "vault/a.py": f'"""`{name}`."""\n'})))


def test_prose_makes_no_name_exist(plant: Plant) -> None:
    """Neither a second docstring nor a comment, a document or a test; tests say what they like."""
    prose = '"""See `Door`."""  # the Door\n'
    tree = plant({"vault/a.py": prose, "docs/a.md": "Door\n", "tests/a.py": prose + "Door = 1\n"})
    assert [found.path for found in check(tree)] == ["vault/a.py"]


FUNCTION = '''def shut(wait):
    """Shut it.

    `{name}`: seconds. `hands` None: two.
    """
    hands = wait
    return {{"left": hands}}
'''


@pytest.mark.parametrize(("name", "lines"), [("wait", []), ("left", []), ("patience", [4])])
def test_a_docstring_explains_arguments_of_its_function(
    plant: Plant, name: str, lines: list[int]
) -> None:
    """Or a key of its result; another function's argument is none of its own."""
    other = "def open_it(patience):\n    return patience\n"
    tree = plant({"vault/a.py": FUNCTION.format(name=name) + other})
    assert [found.line for found in check(tree)] == lines
