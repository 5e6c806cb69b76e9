"""A small repository to break rules in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.repo_lint.repository import RepoTree

Plant = Callable[[dict[str, str]], RepoTree]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Write files (path → text) and read them as a tree."""

    def write(files: dict[str, str]) -> RepoTree:
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return RepoTree(tmp_path)

    return write
