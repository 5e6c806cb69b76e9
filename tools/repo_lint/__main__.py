"""Run every rule on the repository; exit 1 and print what is broken."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tools.repo_lint import constant_time, import_cycles, links, machine_paths, names
from tools.repo_lint.repository import Finding, RepoTree

RULES: Final[tuple[Callable[[RepoTree], Iterable[Finding]], ...]] = (
    constant_time.check,
    machine_paths.check,
    links.check,
    names.check,
    import_cycles.check,
)


def main(root: Path) -> int:
    """The exit code: 0 when the tree keeps every rule."""
    tree = RepoTree(root)
    findings = sorted(finding for rule in RULES for finding in rule(tree))
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).parents[2]))
