"""`freehold` that proves a rotated value once more after a second, not after thirty."""

import sys

from protocols.instant import SECOND


def main() -> None:
    """Become the command."""
    from ui.cli.main import main as freehold
    from vault import core

    core.SETTLE = SECOND  # type: ignore[misc]  # shorter than it may be
    freehold()


if __name__ == "__main__":
    sys.exit(main())
