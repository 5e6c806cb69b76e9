"""What the rules look at: the repository's files, read and parsed once."""

import ast
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

PRODUCT: Final = ("actors", "protocols", "vault", "control", "kube_operator", "ui")
"""The packages that are shipped."""

_VISIBLE_DOTS: Final = {".ci"}
_GENERATED: Final = {"build", "dist", "node_modules", "schemathesis-report", "__pycache__"}


class Finding(NamedTuple):
    """A broken rule, where, and what to do."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        """`path:line: message`, which editors open."""
        return f"{self.path}:{self.line}: {self.message}"


class SourceFile:
    """One file; `path` is relative to the root, with `/`."""

    def __init__(self, root: Path, path: str) -> None:
        self.path = path
        self._file = root / path

    @cached_property
    def text(self) -> str:
        """The content; bytes that are not UTF-8 are replaced."""
        return self._file.read_text(encoding="utf-8", errors="replace")

    @cached_property
    def lines(self) -> list[str]:
        """The content without line ends."""
        return self.text.splitlines()

    @cached_property
    def module(self) -> ast.Module:
        """The parsed Python; raises `SyntaxError`."""
        return ast.parse(self.text, self.path)


class RepoTree:
    """All files below a root but for those that tools made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = {path: SourceFile(root, path) for path in sorted(_walk(root, root))}

    def python(self, *packages: str) -> Iterator[SourceFile]:
        """The Python files below these top-level folders."""
        for path, source in self.files.items():
            if path.endswith(".py") and PurePosixPath(path).parts[0] in packages:
                yield source


def _walk(root: Path, folder: Path) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_symlink() or entry.name == ".git":  # a file in a work tree beside another
            continue
        if entry.is_dir():
            if not _is_generated(entry):
                yield from _walk(root, entry)
        else:
            yield entry.relative_to(root).as_posix()


def _is_generated(folder: Path) -> bool:
    name = folder.name
    hidden = name.startswith(".") and name not in _VISIBLE_DOTS
    return hidden or name in _GENERATED or name.endswith(".egg-info")
