"""Promises of the package: its public face, and what it does not know."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import actors


def test_all_is_true_and_sorted() -> None:
    """Every name offered exists, once, in order."""
    assert [name for name in actors.__all__ if not hasattr(actors, name)] == []
    assert len(set(actors.__all__)) == len(actors.__all__)


def test_knows_only_trio_and_the_standard_library() -> None:
    """The runtime can be lifted out of this repository as it is."""
    allowed = {"actors", "trio"} | sys.stdlib_module_names
    folder = Path(actors.__file__).parent
    found = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").partition(".")[0])
    assert found <= allowed
