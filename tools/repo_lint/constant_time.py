"""Secrets are compared in constant time."""

import ast
import re
from collections.abc import Iterator
from typing import Final

from tools.repo_lint.repository import PRODUCT, Finding, RepoTree

EXEMPTION: Final = "# not secret:"
"""A line that compares something public under such a name says so, and why, after this mark."""

_SECRET: Final = re.compile(
    r"(?:.*_)?(?:secret|token|mac|hmac|hash|digest|password|pepper|signature|commitment|"
    r"credential|plaintext|share|api_key|root_key)"
)


def check(tree: RepoTree) -> Iterator[Finding]:
    """No `==` or `!=` on names such as `token` or `key_hash`: `hmac.compare_digest`.

    A comparison with a constant (`mac == b""`) or with an id tells an attacker nothing.
    """
    for source in tree.python(*PRODUCT):
        for node in ast.walk(source.module):
            if not isinstance(node, ast.Compare):
                continue
            if EXEMPTION in source.lines[node.lineno - 1]:
                continue
            if name := _compared(node):
                message = (
                    f"compares {name} with ==: use hmac.compare_digest, or say `{EXEMPTION} why`"
                )
                yield Finding(source.path, node.lineno, message)


def _compared(node: ast.Compare) -> str | None:
    """The secret-looking name that this comparison is about."""
    operands = [node.left, *node.comparators]
    for operator, left, right in zip(node.ops, operands, operands[1:], strict=False):
        if not isinstance(operator, ast.Eq | ast.NotEq):
            continue
        if isinstance(left, ast.Constant) or isinstance(right, ast.Constant):
            continue
        names = (_name(left), _name(right))
        if any(name == "id" or name.endswith("_id") for name in names):
            continue
        for name in names:
            if _SECRET.fullmatch(name):
                return name
    return None


def _name(node: ast.expr) -> str:
    """`c` of `a.b.c`, `f` of `f(x)`, `a` of `a[0]`; empty for anything else."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=inner) | ast.Subscript(value=inner):
            return _name(inner)
        case _:
            return ""
