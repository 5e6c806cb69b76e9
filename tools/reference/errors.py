"""docs/reference/errors.md: every error code that a caller can meet, and what to do about it."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tools.reference.markdown import (
    ROOT,
    called,
    code,
    matched,
    meanings,
    modules,
    page,
    table,
)

TITLE: Final = "Errors"
INTRO: Final = """
An error has `type`, `code`, `message` and `request_id`. The code is stable and for programs; the message is for people and
may change. This page has every code of the agent and of the control plane. What the HTTP server refuses before an API
sees it is in [the API specification](../spec/api.md), what ends a link in [the link specification](../spec/link.md).

Look the `request_id` up with `freehold audit query --request ID`, or in the server's log.
"""
FAMILY: Final = "ApiError"
UNAVAILABLE: Final = 503
FOLDERS: Final = {"vault": "agent", "control": "control plane", "protocols": "both"}


class Class(NamedTuple):
    """An error's class, as far as it says so itself."""

    bases: tuple[str, ...]
    status: int | None


def render() -> str:
    """The page."""
    data = meanings("errors")
    found, handed_over = dict(_codes()), data["quoted"]
    matched(found, data["errors"], "errors.toml")
    matched(_quoted(handed_over), handed_over, "errors.toml [quoted]")
    found |= dict.fromkeys(handed_over, ({UNAVAILABLE}, {FOLDERS["vault"]}))
    told = data["errors"] | handed_over
    rows = [
        (
            code(name),
            ", ".join(map(str, sorted(found[name][0]))),
            _sides(found[name][1]),
            told[name],
        )
        for name in sorted(found)
    ]
    return page(TITLE, INTRO, [table(("code", "status", "of", "meaning, and what to do"), rows)])


def _codes() -> Mapping[str, tuple[set[int], set[str]]]:
    """Each code with its statuses and the programs that use it."""
    trees = {file: tree for folder in FOLDERS for file, tree in modules(folder)}
    classes = dict(pair for tree in trees.values() for pair in _classes(tree))
    constants = dict(pair for tree in trees.values() for pair in _constants(tree))
    found: dict[str, tuple[set[int], set[str]]] = defaultdict(lambda: (set(), set()))
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (status := _status(called(node), classes)):
                for name in _names(node, constants):
                    found[name][0].add(status)
                    found[name][1].add(_side(file))
    return found


def _classes(tree: ast.Module) -> Iterator[tuple[str, Class]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = tuple(each.id for each in node.bases if isinstance(each, ast.Name))
            values = [
                statement.value
                for statement in node.body
                if isinstance(statement, ast.Assign | ast.AnnAssign)
                and _target(statement) == "status"
            ]
            number = values[0].value if values and isinstance(values[0], ast.Constant) else None
            yield node.name, Class(bases, number if isinstance(number, int) else None)


def _target(statement: ast.Assign | ast.AnnAssign) -> str:
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    return target.id if isinstance(target, ast.Name) else ""


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Texts with a name, at the top level of a module."""
    for node in tree.body:
        match node:
            case ast.Assign(value=ast.Constant(value=str(text))):
                yield _target(node), text
            case ast.AnnAssign(value=ast.Constant(value=str(text))):
                yield _target(node), text


def _status(name: str, classes: Mapping[str, Class]) -> int | None:
    """Of a class of the family; None for any other."""
    if name not in classes or not _is_of_family(name, classes):
        return None
    known = classes[name]
    if known.status is not None:
        return known.status
    inherited = (_status(base, classes) for base in known.bases)
    return next((status for status in inherited if status), None)


def _is_of_family(name: str, classes: Mapping[str, Class]) -> bool:
    if name == FAMILY:
        return True
    return name in classes and any(_is_of_family(b, classes) for b in classes[name].bases)


def _names(node: ast.Call, constants: Mapping[str, str]) -> Iterator[str]:
    """The code that is given; of a choice both."""
    if len(node.args) < 2:  # noqa: PLR2004  # a code and a message
        return
    waiting = [node.args[0]]
    while waiting:
        match waiting.pop():
            case ast.Constant(value=str(text)):
                yield text
            case ast.Name(id=name) if name in constants:
                yield constants[name]
            case ast.IfExp(body=one, orelse=other):
                waiting += [one, other]


def _quoted(names: Mapping[str, str]) -> set[str]:
    """Those that stand in the agent's code."""
    sources = "".join(file.read_text() for file in (ROOT / "vault").rglob("*.py"))
    return {name for name in names if f'"{name}"' in sources}


def _side(file: Path) -> str:
    return FOLDERS[file.relative_to(ROOT).parts[0]]


def _sides(sides: set[str]) -> str:
    return next(iter(sides)) if len(sides) == 1 else "both"
