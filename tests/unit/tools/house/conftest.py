"""A small repository to break rules in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.house.tree import Tree

Plant = Callable[[dict[str, str]], Tree]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Write files (path → text) and read them as a tree."""

    def write(files: dict[str, str]) -> Tree:
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return Tree(tmp_path)

    return write
