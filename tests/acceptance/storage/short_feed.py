"""`freehold` whose change feed keeps a few entries, so that a process is soon behind it."""

import sys
from typing import Final

KEPT: Final = 10
REMOVED_PER: Final = 2


def main() -> None:
    """Become the command."""
    from ui.cli.main import main as freehold
    from vault.seal.anchor import commit_stamp
    from vault.store import change_feed

    commit_stamp.KEPT = change_feed.KEPT = KEPT  # type: ignore[misc]  # shorter than it may be
    commit_stamp.REMOVED_PER = REMOVED_PER  # type: ignore[attr-defined]  # the same
    freehold()


if __name__ == "__main__":
    sys.exit(main())
