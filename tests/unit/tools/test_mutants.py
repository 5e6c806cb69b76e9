"""Mutants are planted in a copy, judged by its tests, and reported; stale entries stop the run."""

from pathlib import Path

import pytest

from tools.mutants import main

_LIST = """
[tests]
sums = ["tests"]

[[mutant]]
id = "sums-minus"
area = "sums"
path = "sums.py"
old = "a + b"
new = "a - b"
harm = "sums are wrong"

[[mutant]]
id = "sums-absolute"
area = "sums"
path = "sums.py"
old = "return a"
new = "return 0 + a"
harm = "none"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one module, one test and two mutants, of which one is no change."""
    for name, text in {
        "sums.py": "def add(a, b):\n    return a + b\n",
        "tests/test_sums.py": "import sums\n\ndef test_add():\n    assert sums.add(1, 2) == 3\n",
        "tools/mutants.toml": _LIST,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_what_no_test_notices_is_reported(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a survivor, then the counts; the tree itself stays as it is."""
    assert main(tree, []) == 0
    assert capsys.readouterr().out.splitlines() == [
        "survived sums-absolute: sums.py: none",
        "sums: killed 1 of 2",
        "killed 1 of 2",
    ]
    assert "a + b" in (tree / "sums.py").read_text()


def test_tests_that_fail_by_themselves_judge_nothing(tree: Path) -> None:
    """The run ends before any mutant is planted."""
    (tree / "tests/test_more.py").write_text("def test_more():\n    assert False\n")
    with pytest.raises(SystemExit) as ended:
        main(tree, ["--only", "sums-minus"])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("def add(a, b):\n    return sum((a, b))\n", id="gone"),
        pytest.param("x = 'a + b'\ndef add(a, b):\n    return a + b\n", id="twice"),
    ],
)
def test_an_entry_whose_text_is_not_there_once_is_stale(
    tree: Path, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    """The run ends before anything is copied, and says which entry has to follow the code."""
    (tree / "sums.py").write_text(source)
    assert main(tree, ["--only", "sums-minus"]) == 1
    assert capsys.readouterr().out.startswith("stale sums-minus: the text is found ")
