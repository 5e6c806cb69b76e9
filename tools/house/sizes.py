"""Small files, small functions."""

import ast
from collections.abc import Iterator
from typing import Final

from tools.house.tree import CHECKED, Finding, Tree

MODULE_LINES: Final = 400
FUNCTION_LINES: Final = 60


def check(tree: Tree) -> Iterator[Finding]:
    """Modules of at most 400 lines (aim at 80 to 150), functions of at most 60 (aim at 10)."""
    for source in tree.python(*CHECKED):
        count = len(source.lines)
        if count > MODULE_LINES:
            yield Finding(source.path, 1, f"{count} lines; a module has at most {MODULE_LINES}")
        for node in ast.walk(source.module):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            count = (node.end_lineno or node.lineno) - node.lineno + 1
            if count > FUNCTION_LINES:
                message = f"{node.name} has {count} lines; a function has at most {FUNCTION_LINES}"
                yield Finding(source.path, node.lineno, message)
