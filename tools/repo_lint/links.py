"""Links inside the documentation lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote

from tools.repo_lint.repository import Finding, RepoTree, SourceFile

_FENCE: Final = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"`[^`\n]*`")
_LINK: Final = re.compile(r"\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)")
_HEADING: Final = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def check(tree: RepoTree) -> Iterator[Finding]:
    """Each relative link in a Markdown file names a file or folder that exists, and its anchor."""
    for source in tree.files.values():
        if not source.path.endswith(".md"):
            continue
        prose = _prose(source.text)
        for match in _LINK.finditer(prose):
            target = unquote(match.group(1))
            if _SCHEME.match(target):
                continue
            if problem := _problem(tree, source, target):
                line = prose.count("\n", 0, match.start()) + 1
                yield Finding(source.path, line, f"the link to {target} {problem}")


def _prose(text: str) -> str:
    """The text without code, its line numbers kept."""
    text = _FENCE.sub(lambda fence: "\n" * fence.group().count("\n"), text)
    return _CODE.sub(lambda code: " " * len(code.group()), text)


def _problem(tree: RepoTree, source: SourceFile, target: str) -> str | None:
    path, _, anchor = target.partition("#")
    file = source.path if not path else _resolve(source.path, path)
    if file is None:
        return "leaves the repository"
    if path and not (tree.root / file).exists():
        return "leads nowhere"
    linked = tree.files.get(file)
    if anchor and linked is not None and file.endswith(".md") and anchor not in _anchors(linked):
        return "names a heading that is not there"
    return None


def _resolve(source: str, path: str) -> str | None:
    """`path` as seen from the file `source`, relative to the root; None outside of it."""
    parts: list[str] = []
    for part in (PurePosixPath(source).parent / path).parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts) or "."


def _anchors(source: SourceFile) -> set[str]:
    """Headings as the forges' renderers turn them into anchors: lower case, dashes, no signs."""
    return {
        re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")
        for heading in _HEADING.findall(_FENCE.sub("", source.text))
    }
