"""No module imports itself through others, not even for types; `loadtests` imports no test."""

import ast
from collections.abc import Container, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath
from typing import Final

from tools.repo_lint.repository import PRODUCT, Finding, RepoTree, SourceFile

_PACKAGES: Final = (*PRODUCT, "loadtests", "tools")


def check(tree: RepoTree) -> Iterator[Finding]:
    """Report the first cycle, and each import of a test by what is no test."""
    sources = {_module_name(source.path): source for source in tree.python(*_PACKAGES)}
    imports = {name: list(_imports(source, sources)) for name, source in sources.items()}
    for name, found in imports.items():
        for line, target in found:
            if target.partition(".")[0] == "tests":
                yield Finding(sources[name].path, line, f"imports {target}: move what it needs")
    graph = {
        name: {target for _, target in found if target in sources and target != name}
        for name, found in imports.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1][::-1]  # each imports the next
        yield Finding(sources[cycle[0]].path, 1, f"import cycle: {' -> '.join(cycle)}")


def _module_name(path: str) -> str:
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(source: SourceFile, known: Container[str]) -> Iterator[tuple[int, str]]:
    """Line and target of each import; `from a import b` is of `a.b` where that is a module."""
    for node in ast.walk(source.module):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                member = f"{node.module}.{alias.name}"
                yield node.lineno, member if member in known else node.module
