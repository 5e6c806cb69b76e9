"""The repository does not know on which machine it lies, or where packages come from."""

import re
from collections.abc import Iterator
from typing import Final

from tools.repo_lint.repository import Finding, RepoTree

_BINARY: Final = (".png", ".ico", ".gz", ".whl", ".db", ".pyc", ".woff2")

# Written with brackets so that no pattern finds itself.
_RULES: Final = (
    (
        re.compile(
            r"pypi[.]org|pythonhosted[.]org|npmjs[.](?:org|com)|crates[.]io|proxy[.]golang[.]org|"
            r"deb[.]debian[.]org|debian[.]org/debian|registry-1[.]docker|yarnpkg[.]com"
        ),
        "names a package registry: its address is the machine's setting, not ours",
    ),
    (
        re.compile(r"(?<![\w.})\]*-])/(?:(?:work|root)/|opt/wheels|home/\w+/|Users/\w+/)"),
        "names a path of one machine",
    ),
)


def check(tree: RepoTree) -> Iterator[Finding]:
    """No registry host names, no absolute paths of somebody's machine."""
    for source in tree.files.values():
        if source.path.endswith(_BINARY):
            continue
        for pattern, message in _RULES:
            for match in pattern.finditer(source.text):
                line = source.text.count("\n", 0, match.start()) + 1
                yield Finding(source.path, line, f"{match.group()!r} {message}")
