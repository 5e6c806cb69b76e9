"""Docstrings and comments name what exists; a function's docstring describes its own parameters."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from tools.repo_lint.repository import PRODUCT, Finding, RepoTree, SourceFile

EXTERNAL: Final = frozenset(
    {
        "ANN",  # an example of a user name
        "Ann",
        "CLOCK_MONOTONIC",  # clock_gettime(2)
        "Forwarded",  # RFC 7239
        "KeyUpdate",  # TLS 1.3
        "MockClock",  # Trio
        "NameError",  # Python
        "ParseBool",  # Go
        "SSLKEYLOGFILE",  # browsers and curl
        "StructInfo_Convert",  # msgspec's C
        "VACUUM",  # SQL
        "awk",  # awk(1)
        "prefix_",  # the value of a parameter, and an underscore
        "strconv",  # Go
    }
)
"""Names that are in no code here, and whose they are."""

_PROSE_FOLDERS: Final = (*PRODUCT, "loadtests", "tools")
_CODE: Final = (".py", ".js", ".mjs", ".ts", ".tsx", ".json", ".toml", ".yaml", ".yml", ".sh")
_NAME: Final = re.compile(r"`([A-Za-z_][\w.]*)(?:\(\))?`")
_WORD: Final = re.compile(r"[A-Za-z_]\w*")  # `audit.log.00000001` ends in no name
_ARGUMENT: Final = re.compile(r"(?:^|[.;]\s+|\n\s*)`([a-z_]\w*)`(?: `?(?:None|False|True)`?)?:")
_STRINGS: Final = frozenset(
    kind for kind, name in tokenize.tok_name.items() if name in {"STRING", "FSTRING_MIDDLE"}
)


def check(tree: RepoTree) -> Iterator[Finding]:
    """Run both checks."""
    yield from _check_names(tree)
    for path, source in tree.files.items():
        if path.endswith(".py") and PurePosixPath(path).parts[0] in _PROSE_FOLDERS:
            yield from _check_arguments(source)


def _check_names(tree: RepoTree) -> Iterator[Finding]:
    """Each part of a name in backticks is a word of some code, string or path; not of a test's."""
    words = set(EXTERNAL)
    prose: list[tuple[SourceFile, int, str]] = []
    for path, source in tree.files.items():
        if PurePosixPath(path).parts[0] == "tests":
            continue
        words.update(_WORD.findall(path))
        if path.endswith(".py"):
            for line, text, is_prose in _tokens(source):
                if is_prose:
                    prose.append((source, line, text))
                else:
                    words.update(_WORD.findall(text))
        elif path.endswith(_CODE):
            words.update(_WORD.findall(source.text))
    for source, line, text in prose:
        if PurePosixPath(source.path).parts[0] not in _PROSE_FOLDERS:
            continue
        for match in _NAME.finditer(text):
            if not words.issuperset(_WORD.findall(match.group(1))):
                at = line + text.count("\n", 0, match.start())
                yield Finding(source.path, at, f"{match.group()} is in no code: name what there is")


def _check_arguments(source: SourceFile) -> Iterator[Finding]:
    """A docstring that explains a name, as in "`wait`: seconds.", finds it in its function.

    Parameters, names and attributes of the function count, and words in strings of the module: keys
    and error codes.
    """
    strings = {
        word
        for _, text, is_prose in _tokens(source)
        if not is_prose and not text.isidentifier()
        for word in _WORD.findall(text)
    }
    for function in ast.walk(source.module):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        known = strings | {name for node in ast.walk(function) for name in _names_in(node)}
        for match in _ARGUMENT.finditer(ast.get_docstring(function, clean=False) or ""):
            if match.group(1) not in known:
                at = function.body[0].lineno + match.string.count("\n", 0, match.start(1))
                name = match.group(1)
                yield Finding(source.path, at, f"`{name}` is no argument of {function.name}")


def _names_in(node: ast.AST) -> list[str]:
    match node:
        case ast.arg(arg=name) | ast.Name(id=name) | ast.Attribute(attr=name):
            return [name]
    return []


def _tokens(source: SourceFile) -> Iterator[tuple[int, str, bool]]:
    """Line and text of names, strings and comments; whether it is prose, a docstring or comment."""
    docstrings = {
        (node.value.lineno, node.value.col_offset)
        for node in ast.walk(source.module)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string, True
        elif token.type == tokenize.NAME or token.type in _STRINGS:
            yield token.start[0], token.string, token.start in docstrings
